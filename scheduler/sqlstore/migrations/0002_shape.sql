-- shape rises with every change of a provider that is not its use, so that
-- readers who know the shape read the use alone.
ALTER TABLE placement_providers ADD COLUMN shape BIGINT NOT NULL DEFAULT 0;
