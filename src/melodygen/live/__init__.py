"""Live playing into a MIDI port: transport, clocks, ports, player and session."""
