package process

import "testing"

func TestParseStat(t *testing.T) {
	t.Parallel()
	st, err := parseStat([]byte("42 (a ) R (b) S 1 40 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 2\n"))
	must(t, err)
	if st != (stat{state: "S", pgid: 40, start: "987654"}) {
		t.Errorf("got %+v", st)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (x) S 1 40 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 2\n"))
	f.Add([]byte(")"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if st, err := parseStat(b); err == nil && st.start == "" {
			t.Errorf("%q has no start time and no error", b)
		}
	})
}
