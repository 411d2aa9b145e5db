-- The event of the record before next_offset: a topic that lost data may have grown past that offset with others.
ALTER TABLE relay_offsets ADD COLUMN event_id uuid;
