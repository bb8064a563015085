"""Music analysis from notes or sound: chords, roles, rhythm."""
