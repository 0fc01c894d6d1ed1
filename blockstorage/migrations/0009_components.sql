-- What operators said of the service's parts; one without a row is enabled.
CREATE TABLE blockstorage_components (
	binary_name VARCHAR(255) NOT NULL,
	host VARCHAR(255) NOT NULL,
	disabled BOOLEAN NOT NULL,
	reason VARCHAR(255),
	frozen BOOLEAN NOT NULL,
	PRIMARY KEY (binary_name, host)
);
