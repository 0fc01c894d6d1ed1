ALTER TABLE blockstorage_volumes ADD COLUMN to_type VARCHAR(36) NOT NULL DEFAULT '';

ALTER TABLE blockstorage_volumes ADD COLUMN may_move BOOLEAN NOT NULL DEFAULT FALSE;

ALTER TABLE blockstorage_volumes ADD COLUMN stray VARCHAR(255) NOT NULL DEFAULT '';

CREATE INDEX blockstorage_volumes_to_type ON blockstorage_volumes (to_type);
