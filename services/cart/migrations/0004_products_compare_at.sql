ALTER TABLE products ADD COLUMN compare_at jsonb NOT NULL DEFAULT '{}';
