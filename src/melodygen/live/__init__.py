"""Music into a MIDI port, in time: transport, clocks, ports, player, session."""
