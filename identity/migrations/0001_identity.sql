-- Domains are projects with is_domain; their domain_id and parent_id are empty.
CREATE TABLE identity_projects (
	id VARCHAR(64) PRIMARY KEY,
	name VARCHAR(255) NOT NULL,
	domain_id VARCHAR(64) NOT NULL,
	parent_id VARCHAR(64) NOT NULL,
	is_domain BOOLEAN NOT NULL,
	enabled BOOLEAN NOT NULL,
	description TEXT,
	options TEXT NOT NULL,
	extra TEXT NOT NULL,
	tokens_after BIGINT NOT NULL
);

CREATE UNIQUE INDEX identity_projects_name ON identity_projects (domain_id, name, is_domain);

CREATE INDEX identity_projects_parent ON identity_projects (parent_id);

CREATE TABLE identity_project_tags (
	project_id VARCHAR(64) NOT NULL,
	tag VARCHAR(255) NOT NULL,
	PRIMARY KEY (project_id, tag)
);

CREATE INDEX identity_project_tags_tag ON identity_project_tags (tag);

CREATE TABLE identity_users (
	id VARCHAR(64) PRIMARY KEY,
	name VARCHAR(255) NOT NULL,
	domain_id VARCHAR(64) NOT NULL,
	default_project_id VARCHAR(64) NOT NULL,
	enabled BOOLEAN NOT NULL,
	options TEXT NOT NULL,
	extra TEXT NOT NULL,
	password_hash TEXT NOT NULL,
	password_expires_at TIMESTAMP,
	tokens_after BIGINT NOT NULL
);

CREATE UNIQUE INDEX identity_users_name ON identity_users (domain_id, name);

CREATE INDEX identity_users_default_project ON identity_users (default_project_id);

CREATE TABLE identity_groups (
	id VARCHAR(64) PRIMARY KEY,
	name VARCHAR(255) NOT NULL,
	domain_id VARCHAR(64) NOT NULL,
	description TEXT,
	extra TEXT NOT NULL
);

CREATE UNIQUE INDEX identity_groups_name ON identity_groups (domain_id, name);

CREATE TABLE identity_memberships (
	user_id VARCHAR(64) NOT NULL,
	group_id VARCHAR(64) NOT NULL,
	PRIMARY KEY (user_id, group_id)
);

CREATE INDEX identity_memberships_group ON identity_memberships (group_id);

CREATE TABLE identity_roles (
	id VARCHAR(64) PRIMARY KEY,
	name VARCHAR(255) NOT NULL,
	domain_id VARCHAR(64) NOT NULL,
	description TEXT,
	options TEXT NOT NULL,
	extra TEXT NOT NULL
);

CREATE UNIQUE INDEX identity_roles_name ON identity_roles (domain_id, name);

CREATE TABLE identity_implied_roles (
	prior_id VARCHAR(64) NOT NULL,
	implied_id VARCHAR(64) NOT NULL,
	PRIMARY KEY (prior_id, implied_id)
);

-- actor_type is user or group; target_type is project, domain or system.
CREATE TABLE identity_assignments (
	actor_type VARCHAR(8) NOT NULL,
	actor_id VARCHAR(64) NOT NULL,
	target_type VARCHAR(8) NOT NULL,
	target_id VARCHAR(64) NOT NULL,
	role_id VARCHAR(64) NOT NULL,
	inherited BOOLEAN NOT NULL,
	PRIMARY KEY (actor_id, target_id, role_id, inherited, actor_type, target_type)
);

CREATE INDEX identity_assignments_target ON identity_assignments (target_id);

CREATE INDEX identity_assignments_role ON identity_assignments (role_id);

-- Tokens that were revoked one by one, until they would have expired anyway.
CREATE TABLE identity_revocations (
	audit_id VARCHAR(64) PRIMARY KEY,
	expires_at TIMESTAMP NOT NULL
);

CREATE INDEX identity_revocations_expires ON identity_revocations (expires_at);

CREATE TABLE identity_regions (
	id VARCHAR(255) PRIMARY KEY,
	parent_id VARCHAR(255) NOT NULL,
	description TEXT,
	extra TEXT NOT NULL
);

CREATE TABLE identity_services (
	id VARCHAR(64) PRIMARY KEY,
	type VARCHAR(255) NOT NULL,
	name VARCHAR(255),
	description TEXT,
	enabled BOOLEAN NOT NULL,
	extra TEXT NOT NULL,
	managed BOOLEAN NOT NULL
);

CREATE INDEX identity_services_type ON identity_services (type);

CREATE TABLE identity_endpoints (
	id VARCHAR(64) PRIMARY KEY,
	service_id VARCHAR(64) NOT NULL,
	interface VARCHAR(8) NOT NULL,
	region_id VARCHAR(255) NOT NULL,
	url TEXT NOT NULL,
	enabled BOOLEAN NOT NULL,
	extra TEXT NOT NULL,
	managed BOOLEAN NOT NULL
);

CREATE INDEX identity_endpoints_service ON identity_endpoints (service_id);

CREATE INDEX identity_endpoints_region ON identity_endpoints (region_id);

CREATE TABLE identity_application_credentials (
	id VARCHAR(64) PRIMARY KEY,
	name VARCHAR(255) NOT NULL,
	user_id VARCHAR(64) NOT NULL,
	project_id VARCHAR(64) NOT NULL,
	description TEXT,
	secret_hash TEXT NOT NULL,
	roles TEXT NOT NULL,
	is_unrestricted BOOLEAN NOT NULL,
	expires_at TIMESTAMP
);

CREATE UNIQUE INDEX identity_application_credentials_name ON identity_application_credentials (user_id, name);
