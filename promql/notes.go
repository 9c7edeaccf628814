package promql

import (
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// noteRates explains results that are right by PromQL's rules and yet mislead:
// rate divides by the range and not by the time that the data covers, so with
// ten seconds of data rate(x[3m]) is an eighteenth of what happened. A ratio
// of two rates over one range, and a quantile of rates, do not suffer.
func (p *pinning) noteRates(expr parser.Expr) {
	if p.window <= 0 {
		return
	}
	parser.Inspect(expr, func(n parser.Node, path []parser.Node) error {
		span, ok := rateRange(n)
		if ok && span > p.window+time.Second && !cancelsOut(n, span, path) {
			p.note("%s divides by %s, though the test gave %s of data: the value is too small in that proportion; use a range of $DURATION_SECONDS seconds, or a ratio of two rates", n, span, p.window.Round(time.Second))
		}
		return nil
	})
}

// rateRange returns the range of a call of rate; ok is false for other nodes.
func rateRange(n parser.Node) (time.Duration, bool) {
	c, ok := n.(*parser.Call)
	if !ok || c.Func.Name != "rate" || len(c.Args) != 1 {
		return 0, false
	}
	switch arg := c.Args[0].(type) {
	case *parser.MatrixSelector:
		return arg.Range, arg.RangeExpr == nil
	case *parser.SubqueryExpr:
		return arg.Range, arg.RangeExpr == nil
	}
	return 0, false
}

// cancelsOut reports whether an operation above the rate n makes its range
// irrelevant.
func cancelsOut(n parser.Node, span time.Duration, path []parser.Node) bool {
	below := n
	for i := len(path) - 1; i >= 0; i-- {
		switch up := path[i].(type) {
		case *parser.Call:
			if strings.HasPrefix(up.Func.Name, "histogram_") {
				return true
			}
		case *parser.BinaryExpr:
			other := up.LHS
			if parser.Node(up.LHS) == below {
				other = up.RHS
			}
			if up.Op == parser.DIV && hasRate(other, span) {
				return true
			}
		}
		below = path[i]
	}
	return false
}

func hasRate(expr parser.Expr, span time.Duration) (found bool) {
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if s, ok := rateRange(n); ok && s == span {
			found = true
		}
		return nil
	})
	return found
}

// noteCounter warns of a counter that is read without a range.
func (p *pinning) noteCounter(v *parser.VectorSelector, path []parser.Node) {
	if len(path) > 0 {
		if _, ok := path[len(path)-1].(*parser.MatrixSelector); ok {
			return
		}
	}
	for _, suffix := range []string{"_total", "_sum", "_count", "_bucket"} {
		if strings.HasSuffix(v.Name, suffix) {
			p.note("%s is read without a range: a counter holds all since the process started, also what came before the test; use rate or increase", v)
			return
		}
	}
}
