CREATE TABLE compute_hosts (
	name VARCHAR(255) PRIMARY KEY,
	id VARCHAR(64) NOT NULL,
	agent_id VARCHAR(64) NOT NULL,
	boot_id VARCHAR(64) NOT NULL,
	zone VARCHAR(255) NOT NULL,
	up BOOLEAN NOT NULL,
	seen_at TIMESTAMP NOT NULL,
	disabled BOOLEAN NOT NULL,
	disabled_reason TEXT NOT NULL,
	forced_down BOOLEAN NOT NULL,
	beat TEXT NOT NULL,
	generation BIGINT NOT NULL,
	created_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP NOT NULL
);

CREATE UNIQUE INDEX compute_hosts_id ON compute_hosts (id);

CREATE TABLE compute_servers (
	id VARCHAR(64) PRIMARY KEY,
	project_id VARCHAR(64) NOT NULL,
	user_id VARCHAR(64) NOT NULL,
	name VARCHAR(255) NOT NULL,
	description TEXT,
	hostname VARCHAR(255) NOT NULL,
	created_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP NOT NULL,
	launched_at TIMESTAMP,
	deleted_at TIMESTAMP,
	deleted BOOLEAN NOT NULL,
	vm_state VARCHAR(32) NOT NULL,
	task_state VARCHAR(64) NOT NULL,
	power_state INTEGER NOT NULL,
	fault TEXT,
	image_id VARCHAR(64) NOT NULL,
	image TEXT NOT NULL,
	flavor_id VARCHAR(255) NOT NULL,
	flavor TEXT NOT NULL,
	vcpus INTEGER NOT NULL,
	memory_mib INTEGER NOT NULL,
	key_name VARCHAR(255) NOT NULL,
	key_data TEXT NOT NULL,
	zone VARCHAR(255) NOT NULL,
	pinned_zone VARCHAR(255) NOT NULL,
	security_groups TEXT NOT NULL,
	wanted TEXT NOT NULL,
	metadata TEXT NOT NULL,
	tags TEXT NOT NULL,
	group_id VARCHAR(64) NOT NULL,
	config_drive VARCHAR(8) NOT NULL,
	user_data TEXT NOT NULL,
	access_ipv4 VARCHAR(64) NOT NULL,
	access_ipv6 VARCHAR(64) NOT NULL,
	disk_config VARCHAR(16) NOT NULL,
	reservation_id VARCHAR(64) NOT NULL,
	launch_index INTEGER NOT NULL,
	root_device VARCHAR(32) NOT NULL,
	password TEXT NOT NULL,
	locked_by VARCHAR(16) NOT NULL,
	locked_reason TEXT NOT NULL,
	host VARCHAR(255) NOT NULL,
	node VARCHAR(255) NOT NULL,
	tried TEXT NOT NULL,
	failures INTEGER NOT NULL,
	phase VARCHAR(16) NOT NULL,
	check_at TIMESTAMP,
	deadline TIMESTAMP,
	revision BIGINT NOT NULL,
	seen_revision BIGINT NOT NULL,
	generation BIGINT NOT NULL,
	power VARCHAR(16) NOT NULL,
	reboot VARCHAR(8) NOT NULL,
	nics TEXT NOT NULL,
	action VARCHAR(64) NOT NULL
);

CREATE INDEX compute_servers_project ON compute_servers (project_id, deleted, created_at, id);

CREATE INDEX compute_servers_created ON compute_servers (deleted, created_at, id);

CREATE INDEX compute_servers_host ON compute_servers (host, deleted);

CREATE INDEX compute_servers_updated ON compute_servers (project_id, updated_at);

CREATE INDEX compute_servers_group ON compute_servers (group_id);

CREATE INDEX compute_servers_check ON compute_servers (check_at);

CREATE INDEX compute_servers_reservation ON compute_servers (reservation_id);

CREATE INDEX compute_servers_gone ON compute_servers (deleted, deleted_at);

-- What disks a server has, in the order of their devices. A volume belongs to
-- one row at most, unless the volume service allows more.
CREATE TABLE compute_disks (
	id VARCHAR(64) PRIMARY KEY,
	server_id VARCHAR(64) NOT NULL,
	position INTEGER NOT NULL,
	source VARCHAR(16) NOT NULL,
	source_id VARCHAR(64) NOT NULL,
	destination VARCHAR(16) NOT NULL,
	boot_index INTEGER,
	volume_id VARCHAR(64) NOT NULL,
	attachment_id VARCHAR(64) NOT NULL,
	volume_type VARCHAR(255) NOT NULL,
	size_gib INTEGER NOT NULL,
	format VARCHAR(16) NOT NULL,
	connection TEXT NOT NULL,
	device VARCHAR(32) NOT NULL,
	bus VARCHAR(16) NOT NULL,
	device_type VARCHAR(16) NOT NULL,
	tag VARCHAR(64) NOT NULL,
	delete_on_termination BOOLEAN NOT NULL,
	state VARCHAR(16) NOT NULL,
	created_at TIMESTAMP NOT NULL
);

CREATE INDEX compute_disks_server ON compute_disks (server_id, position);

CREATE INDEX compute_disks_volume ON compute_disks (volume_id);

-- Guests that a host must destroy, until it says that it has.
CREATE TABLE compute_tombstones (
	host VARCHAR(255) NOT NULL,
	server_id VARCHAR(64) NOT NULL,
	revision BIGINT NOT NULL,
	created_at TIMESTAMP NOT NULL,
	PRIMARY KEY (host, server_id)
);

CREATE INDEX compute_tombstones_server ON compute_tombstones (server_id);

CREATE TABLE compute_actions (
	server_id VARCHAR(64) NOT NULL,
	request_id VARCHAR(64) NOT NULL,
	action VARCHAR(255) NOT NULL,
	project_id VARCHAR(64) NOT NULL,
	user_id VARCHAR(64) NOT NULL,
	started_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP NOT NULL,
	finished_at TIMESTAMP,
	message TEXT,
	events TEXT NOT NULL,
	PRIMARY KEY (server_id, request_id)
);

CREATE INDEX compute_actions_server ON compute_actions (server_id, started_at);

CREATE TABLE compute_consoles (
	token_hash VARCHAR(64) PRIMARY KEY,
	server_id VARCHAR(64) NOT NULL,
	host VARCHAR(255) NOT NULL,
	kind VARCHAR(16) NOT NULL,
	protocol VARCHAR(16) NOT NULL,
	type VARCHAR(16) NOT NULL,
	expires_at TIMESTAMP NOT NULL
);

CREATE INDEX compute_consoles_server ON compute_consoles (server_id);
