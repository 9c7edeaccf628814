package kubernetes

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
)

func TestLabelValuesAreValid(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"0.6.0-1": "0.6.0-1", "d/dev/1": "d.dev.1", "": "", "a b": "a-b",
		"1f0c6e5e-0d5c-4b5a-9d53-3c6c9a4f6f11.production.1": "1f0c6e5e-0d5c-4b5a-9d53-3c6c9a4f6f11.production.1",
	} {
		if got := labelValue(in); got != want {
			t.Errorf("labelValue(%q) = %q, want %q", in, got, want)
		}
	}
	seen := map[string]string{}
	for _, in := range []string{"_private", "private", "private_", strings.Repeat("a", 64), strings.Repeat("a", 65), "___", "ü", strings.Repeat(".", 80)} {
		got := labelValue(in)
		if problems := validation.IsValidLabelValue(got); len(problems) > 0 {
			t.Errorf("labelValue(%q) = %q: %v", in, got, problems)
		}
		if other, taken := seen[got]; taken {
			t.Errorf("%q and %q are both %q", in, other, got)
		}
		seen[got] = in
	}
}
