"""Start, reach and stop external programs: processes, ports, logs."""
