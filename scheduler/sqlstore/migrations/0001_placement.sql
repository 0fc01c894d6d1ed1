-- What hosts have, who uses how much of it, and why decisions fell as they did.
-- The Placement API serves the same rows.
CREATE TABLE placement_providers (
    uuid VARCHAR(36) PRIMARY KEY,
    name VARCHAR(255) NOT NULL UNIQUE,
    generation BIGINT NOT NULL,
    consumers BIGINT NOT NULL,
    parent_uuid VARCHAR(36) NOT NULL,
    root_uuid VARCHAR(36) NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);
CREATE INDEX placement_providers_parent ON placement_providers (parent_uuid);
CREATE INDEX placement_providers_root ON placement_providers (root_uuid);

-- The providers that are hosts, as their owner described them.
CREATE TABLE placement_hosts (
    host_id VARCHAR(255) PRIMARY KEY,
    provider_uuid VARCHAR(36) NOT NULL UNIQUE,
    revision BIGINT NOT NULL,
    description TEXT NOT NULL
);

-- used is the sum of the allocations; it passes capacity only when the
-- inventory shrinks.
CREATE TABLE placement_inventories (
    provider_uuid VARCHAR(36) NOT NULL,
    class VARCHAR(255) NOT NULL,
    total BIGINT NOT NULL,
    reserved BIGINT NOT NULL,
    min_unit BIGINT NOT NULL,
    max_unit BIGINT NOT NULL,
    step_size BIGINT NOT NULL,
    ratio DOUBLE PRECISION NOT NULL,
    capacity BIGINT NOT NULL,
    used BIGINT NOT NULL CHECK (used >= 0),
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    PRIMARY KEY (provider_uuid, class)
);
CREATE INDEX placement_inventories_class ON placement_inventories (class);

CREATE TABLE placement_consumers (
    uuid VARCHAR(255) PRIMARY KEY,
    generation BIGINT NOT NULL,
    project_id VARCHAR(255) NOT NULL,
    user_id VARCHAR(255) NOT NULL,
    type VARCHAR(255) NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);
CREATE INDEX placement_consumers_project ON placement_consumers (project_id, user_id);

CREATE TABLE placement_allocations (
    consumer_uuid VARCHAR(255) NOT NULL,
    provider_uuid VARCHAR(36) NOT NULL,
    class VARCHAR(255) NOT NULL,
    used BIGINT NOT NULL CHECK (used > 0),
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (consumer_uuid, provider_uuid, class)
);
CREATE INDEX placement_allocations_provider ON placement_allocations (provider_uuid);

-- Traits and resource classes beyond the standard ones.
CREATE TABLE placement_traits (
    name VARCHAR(255) PRIMARY KEY,
    created_at TIMESTAMP NOT NULL
);
CREATE TABLE placement_classes (
    name VARCHAR(255) PRIMARY KEY,
    created_at TIMESTAMP NOT NULL
);
CREATE TABLE placement_provider_traits (
    provider_uuid VARCHAR(36) NOT NULL,
    trait VARCHAR(255) NOT NULL,
    PRIMARY KEY (provider_uuid, trait)
);
CREATE INDEX placement_provider_traits_trait ON placement_provider_traits (trait);
CREATE TABLE placement_provider_aggregates (
    provider_uuid VARCHAR(36) NOT NULL,
    aggregate_uuid VARCHAR(36) NOT NULL,
    PRIMARY KEY (provider_uuid, aggregate_uuid)
);
CREATE INDEX placement_provider_aggregates_aggregate ON placement_provider_aggregates (aggregate_uuid);

CREATE TABLE placement_explanations (
    seq SERIAL PRIMARY KEY,
    request_id VARCHAR(255) NOT NULL,
    consumer_uuid VARCHAR(255) NOT NULL,
    at TIMESTAMP NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX placement_explanations_request ON placement_explanations (request_id) WHERE request_id <> consumer_uuid;
CREATE INDEX placement_explanations_consumer ON placement_explanations (consumer_uuid);
