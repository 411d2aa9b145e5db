-- A mark moves with every event of its stream: with room on its page the new version needs no index entry.
ALTER TABLE marks SET (fillfactor = 50);
