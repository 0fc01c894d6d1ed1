-- uncounted is how many of a provider's changes the generation that the Placement
-- API shows leaves out: those that only gave something back.
ALTER TABLE placement_providers ADD COLUMN uncounted BIGINT NOT NULL DEFAULT 0;
