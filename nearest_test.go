package fairway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
)

func TestInsteadNamesTheNearest(t *testing.T) {
	t.Parallel()
	var many []fairway.ServiceName
	for i := range 500 {
		many = append(many, fairway.ServiceName(fmt.Sprint("service-", i)))
	}
	for _, c := range []struct {
		name  fairway.ServiceName
		there []fairway.ServiceName
		want  string
	}{
		{"cart", []fairway.ServiceName{"carts", "orders"}, "did you mean carts? it has: carts, orders"},
		{"Orders", []fairway.ServiceName{"carts", "orders"}, "did you mean orders? it has: carts, orders"},
		{"web", []fairway.ServiceName{"carts", "orders"}, "it has: carts, orders"},
		{"web", nil, "it has none"},
	} {
		if got := fairway.Instead(c.name, "it has", c.there); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := fairway.Instead("servise-321", "it has", many); !strings.HasPrefix(got, "did you mean service-321? it has: ") || !strings.HasSuffix(got, " and 480 more") {
		t.Errorf("of many: %q", got)
	}
}
