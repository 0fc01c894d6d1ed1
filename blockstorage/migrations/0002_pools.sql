ALTER TABLE blockstorage_volumes ADD COLUMN pool VARCHAR(255) NOT NULL DEFAULT '';

ALTER TABLE blockstorage_volumes ADD COLUMN tried TEXT NOT NULL DEFAULT '[]';

ALTER TABLE blockstorage_volumes ADD COLUMN hints TEXT NOT NULL DEFAULT '{}';

CREATE INDEX blockstorage_volumes_pool ON blockstorage_volumes (pool, size_gib);
