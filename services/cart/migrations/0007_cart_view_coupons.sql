ALTER TABLE cart_view ADD COLUMN coupons jsonb NOT NULL DEFAULT '[]';
