package yamlline_test

import (
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway/internal/yamlline"
)

func TestOf(t *testing.T) {
	t.Parallel()
	parse := func(b []byte) error {
		var n yaml.Node
		return yaml.Unmarshal(b, &n)
	}
	for doc, want := range map[string]int{
		"":                                   0,
		"a: 1\n":                             0,
		"a:\n  b: 1\n  c: 2\n d: 3\ne: 4\n":  4,
		"a:\n- b\n- c\nd\ne: 1\n":            4,
		"a: 1\nb: \"no end\nc: 2\nd: 3\n":    2,
		"a: 1\nb: [1,\n  2\nc: 3\nd: 4\n":    3,
		"a: 1\nb: |\n  text\n text\nc: {d: ": 4,
		"a: 1\n\tb: 2":                       2,
	} {
		if got := yamlline.Of([]byte(doc), parse); got != want {
			t.Errorf("%q: line %d, want %d: %v", doc, got, want, parse([]byte(doc)))
		}
	}
}
