CREATE TABLE network_networks (
	id VARCHAR(36) PRIMARY KEY,
	project_id VARCHAR(255) NOT NULL,
	name VARCHAR(255) NOT NULL,
	description VARCHAR(255) NOT NULL,
	tags TEXT NOT NULL,
	revision BIGINT NOT NULL,
	created_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP NOT NULL,
	admin_up BOOLEAN NOT NULL,
	shared BOOLEAN NOT NULL,
	external BOOLEAN NOT NULL,
	is_default BOOLEAN NOT NULL,
	port_security BOOLEAN NOT NULL,
	mtu INTEGER NOT NULL,
	network_type VARCHAR(16) NOT NULL,
	physical_network VARCHAR(255) NOT NULL,
	segmentation_id BIGINT NOT NULL,
	zone_hints TEXT NOT NULL
);

CREATE INDEX network_networks_project ON network_networks (project_id, id);

CREATE INDEX network_networks_name ON network_networks (name);

CREATE INDEX network_networks_shared ON network_networks (shared, external);

CREATE TABLE network_segments (
	network_type VARCHAR(16) NOT NULL,
	physical_network VARCHAR(255) NOT NULL,
	segmentation_id BIGINT NOT NULL,
	network_id VARCHAR(36) NOT NULL,
	PRIMARY KEY (network_type, physical_network, segmentation_id)
);

CREATE INDEX network_segments_network ON network_segments (network_id);

CREATE TABLE network_subnets (
	id VARCHAR(36) PRIMARY KEY,
	project_id VARCHAR(255) NOT NULL,
	name VARCHAR(255) NOT NULL,
	description VARCHAR(255) NOT NULL,
	tags TEXT NOT NULL,
	revision BIGINT NOT NULL,
	created_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP NOT NULL,
	network_id VARCHAR(36) NOT NULL,
	ip_version INTEGER NOT NULL,
	cidr VARCHAR(64) NOT NULL,
	gateway VARCHAR(64) NOT NULL,
	dhcp BOOLEAN NOT NULL,
	pools TEXT NOT NULL,
	dns TEXT NOT NULL,
	routes TEXT NOT NULL,
	ra_mode VARCHAR(32) NOT NULL,
	address_mode VARCHAR(32) NOT NULL
);

CREATE INDEX network_subnets_network ON network_subnets (network_id, created_at, id);

CREATE INDEX network_subnets_project ON network_subnets (project_id, id);

-- The addresses of a subnet's pools that nobody has, as ranges: the lowest is
-- the next to be given out. Addresses are written as fixed-width hexadecimal.
CREATE TABLE network_free (
	subnet_id VARCHAR(36) NOT NULL,
	first VARCHAR(32) NOT NULL,
	last VARCHAR(32) NOT NULL,
	PRIMARY KEY (subnet_id, first)
);

CREATE TABLE network_allocations (
	subnet_id VARCHAR(36) NOT NULL,
	addr VARCHAR(32) NOT NULL,
	ip VARCHAR(64) NOT NULL,
	port_id VARCHAR(36) NOT NULL,
	network_id VARCHAR(36) NOT NULL,
	ordinal INTEGER NOT NULL,
	PRIMARY KEY (subnet_id, addr)
);

CREATE INDEX network_allocations_port ON network_allocations (port_id, ordinal);

CREATE INDEX network_allocations_ip ON network_allocations (ip);

CREATE TABLE network_ports (
	id VARCHAR(36) PRIMARY KEY,
	project_id VARCHAR(255) NOT NULL,
	name VARCHAR(255) NOT NULL,
	description VARCHAR(255) NOT NULL,
	tags TEXT NOT NULL,
	revision BIGINT NOT NULL,
	created_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP NOT NULL,
	network_id VARCHAR(36) NOT NULL,
	mac VARCHAR(32) NOT NULL,
	admin_up BOOLEAN NOT NULL,
	status VARCHAR(16) NOT NULL,
	reason TEXT NOT NULL,
	device_id VARCHAR(255) NOT NULL,
	device_owner VARCHAR(255) NOT NULL,
	port_security BOOLEAN NOT NULL,
	allowed_pairs TEXT NOT NULL,
	dhcp_options TEXT NOT NULL,
	host VARCHAR(255) NOT NULL,
	hostname VARCHAR(255) NOT NULL,
	vnic_type VARCHAR(64) NOT NULL,
	vif_type VARCHAR(64) NOT NULL,
	profile TEXT NOT NULL,
	owner_key VARCHAR(255),
	made_for_owner BOOLEAN NOT NULL
);

CREATE UNIQUE INDEX network_ports_mac ON network_ports (network_id, mac);

CREATE UNIQUE INDEX network_ports_owner_key ON network_ports (owner_key);

CREATE INDEX network_ports_project ON network_ports (project_id, id);

CREATE INDEX network_ports_device ON network_ports (device_id, device_owner);

CREATE INDEX network_ports_host ON network_ports (host, network_id);

CREATE TABLE network_port_groups (
	port_id VARCHAR(36) NOT NULL,
	group_id VARCHAR(36) NOT NULL,
	PRIMARY KEY (port_id, group_id)
);

CREATE INDEX network_port_groups_group ON network_port_groups (group_id);

CREATE TABLE network_security_groups (
	id VARCHAR(36) PRIMARY KEY,
	project_id VARCHAR(255) NOT NULL,
	name VARCHAR(255) NOT NULL,
	description VARCHAR(255) NOT NULL,
	tags TEXT NOT NULL,
	revision BIGINT NOT NULL,
	created_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP NOT NULL,
	stateful BOOLEAN NOT NULL,
	default_of VARCHAR(255)
);

CREATE UNIQUE INDEX network_security_groups_default ON network_security_groups (default_of);

CREATE INDEX network_security_groups_project ON network_security_groups (project_id, id);

CREATE TABLE network_security_rules (
	id VARCHAR(36) PRIMARY KEY,
	project_id VARCHAR(255) NOT NULL,
	description VARCHAR(255) NOT NULL,
	tags TEXT NOT NULL,
	revision BIGINT NOT NULL,
	created_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP NOT NULL,
	group_id VARCHAR(36) NOT NULL,
	direction VARCHAR(16) NOT NULL,
	ethertype VARCHAR(16) NOT NULL,
	protocol VARCHAR(40) NOT NULL,
	port_min INTEGER,
	port_max INTEGER,
	remote_prefix VARCHAR(64) NOT NULL,
	remote_group VARCHAR(36) NOT NULL,
	sameness VARCHAR(255) NOT NULL
);

CREATE UNIQUE INDEX network_security_rules_same ON network_security_rules (group_id, sameness);

CREATE INDEX network_security_rules_remote ON network_security_rules (remote_group);

CREATE INDEX network_security_rules_project ON network_security_rules (project_id, id);

CREATE TABLE network_routers (
	id VARCHAR(36) PRIMARY KEY,
	project_id VARCHAR(255) NOT NULL,
	name VARCHAR(255) NOT NULL,
	description VARCHAR(255) NOT NULL,
	tags TEXT NOT NULL,
	revision BIGINT NOT NULL,
	created_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP NOT NULL,
	admin_up BOOLEAN NOT NULL,
	status VARCHAR(16) NOT NULL,
	gateway_network_id VARCHAR(36) NOT NULL,
	gateway_port_id VARCHAR(36) NOT NULL,
	snat BOOLEAN NOT NULL,
	routes TEXT NOT NULL,
	zone_hints TEXT NOT NULL,
	host VARCHAR(255) NOT NULL
);

CREATE INDEX network_routers_project ON network_routers (project_id, id);

CREATE INDEX network_routers_gateway ON network_routers (gateway_network_id);

CREATE INDEX network_routers_host ON network_routers (host);

CREATE TABLE network_floatingips (
	id VARCHAR(36) PRIMARY KEY,
	project_id VARCHAR(255) NOT NULL,
	description VARCHAR(255) NOT NULL,
	tags TEXT NOT NULL,
	revision BIGINT NOT NULL,
	created_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP NOT NULL,
	network_id VARCHAR(36) NOT NULL,
	address VARCHAR(64) NOT NULL,
	own_port_id VARCHAR(36) NOT NULL,
	port_id VARCHAR(36) NOT NULL,
	fixed_address VARCHAR(64) NOT NULL,
	router_id VARCHAR(36) NOT NULL,
	status VARCHAR(16) NOT NULL,
	mapping VARCHAR(128)
);

CREATE UNIQUE INDEX network_floatingips_mapping ON network_floatingips (mapping);

CREATE INDEX network_floatingips_project ON network_floatingips (project_id, id);

CREATE INDEX network_floatingips_port ON network_floatingips (port_id);

CREATE INDEX network_floatingips_router ON network_floatingips (router_id);

CREATE INDEX network_floatingips_network ON network_floatingips (network_id);

CREATE TABLE network_quotas (
	project_id VARCHAR(255) NOT NULL,
	resource VARCHAR(64) NOT NULL,
	amount BIGINT NOT NULL,
	PRIMARY KEY (project_id, resource)
);

CREATE TABLE network_hosts (
	host VARCHAR(255) PRIMARY KEY,
	agent_id VARCHAR(255) NOT NULL,
	id VARCHAR(36) NOT NULL,
	zone VARCHAR(255) NOT NULL,
	abilities TEXT NOT NULL,
	routes BOOLEAN NOT NULL,
	admin_up BOOLEAN NOT NULL,
	description VARCHAR(255) NOT NULL,
	created_at TIMESTAMP NOT NULL,
	started_at TIMESTAMP NOT NULL,
	beat_at TIMESTAMP NOT NULL
);

-- What each host should know. A row that says deleted is a tombstone until the
-- host has confirmed it, and keeps the revision from going back afterwards.
CREATE TABLE network_placed (
	host VARCHAR(255) NOT NULL,
	kind VARCHAR(32) NOT NULL,
	id VARCHAR(36) NOT NULL,
	revision BIGINT NOT NULL,
	seen BIGINT NOT NULL,
	deleted BOOLEAN NOT NULL,
	spec TEXT NOT NULL,
	error TEXT NOT NULL,
	since TIMESTAMP NOT NULL,
	PRIMARY KEY (host, kind, id)
);

CREATE INDEX network_placed_object ON network_placed (kind, id);
