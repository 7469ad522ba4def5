"""What tests are written with: no test is in here."""
