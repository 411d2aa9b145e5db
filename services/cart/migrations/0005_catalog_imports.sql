-- A part waits here until its import is carried out; an import's row is what it came to.
CREATE TABLE catalog_import_parts (
    import_id uuid        NOT NULL,
    part      bigint      NOT NULL,
    products  jsonb       NOT NULL,
    refused   bigint      NOT NULL,
    staged_at timestamptz NOT NULL,
    PRIMARY KEY (import_id, part)
);
CREATE TABLE catalog_imports (
    import_id   uuid        PRIMARY KEY,
    listed      bigint      NOT NULL,
    changed     bigint      NOT NULL,
    unchanged   bigint      NOT NULL,
    finished_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON catalog_import_parts, catalog_imports TO orderflow_service;
