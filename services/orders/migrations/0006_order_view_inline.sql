-- Rows are rewritten with every event: up to a page they stay in one piece instead of being compressed anew.
ALTER TABLE order_view SET (toast_tuple_target = 8160);
