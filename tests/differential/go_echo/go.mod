module leat/tests/differential/go_echo

go 1.19
