"""Music analysis of notes or sound: chords, roles and rhythm."""
