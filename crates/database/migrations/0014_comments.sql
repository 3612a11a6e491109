-- These comments were written before lists were read in slices.

COMMENT ON TABLE salla_sync.sync_windows IS
    'The parts of a run: orders by creation day, every other resource as one whole, or in slices where Salla does not show its end.';
COMMENT ON COLUMN salla_sync.sync_windows.day_from IS
    'First Riyadh day, without the overlap that is asked for in addition; null where the window is not one of days.';
COMMENT ON COLUMN salla_sync.sync_windows.day_to IS 'Last Riyadh day; null where the window is not one of days.';
COMMENT ON COLUMN salla_sync.sync_windows.cut_short IS
    'The walk ended early because the run wanted only so many orders, or it is a category longer than Salla shows; such a window proves nothing.';
