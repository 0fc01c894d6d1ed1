ALTER TABLE compute_servers ADD COLUMN scheduled_at TIMESTAMP;
