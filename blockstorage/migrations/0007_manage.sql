ALTER TABLE blockstorage_volumes ADD COLUMN reference VARCHAR(255) NOT NULL DEFAULT '';
