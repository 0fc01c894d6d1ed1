-- Which parts of its host a consumer has: the host's CPUs that are its own and
-- the devices, each once, and all that its claim of NUMA cells came to.
CREATE TABLE placement_parts (
    provider_uuid VARCHAR(36) NOT NULL,
    part VARCHAR(80) NOT NULL,
    consumer_uuid VARCHAR(255) NOT NULL,
    PRIMARY KEY (provider_uuid, part)
);
CREATE INDEX placement_parts_consumer ON placement_parts (consumer_uuid);
CREATE TABLE placement_assignments (
    consumer_uuid VARCHAR(255) PRIMARY KEY,
    provider_uuid VARCHAR(36) NOT NULL,
    body TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL
);
CREATE INDEX placement_assignments_provider ON placement_assignments (provider_uuid);
