"""Results of a run in the forms that engines read: tables, Live Link Face, Audio2Face, glTF."""
