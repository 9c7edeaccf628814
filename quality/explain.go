package quality

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// explain returns the sentence that says why an indicator got its points. It
// does not depend on the order of the series.
func explain(ind Indicator, all []series) string {
	if len(all) == 0 {
		if ind.Grade.IgnoreEmpty {
			return ind.ID + ": there are no data, which ignoreEmpty lets pass"
		}
		return ind.ID + ": there are no data for this test"
	}
	bad := 0
	for _, s := range all {
		if !s.good() {
			bad++
		}
	}
	if bad == 0 {
		return ind.ID + ": " + within(ind.Grade, all)
	}
	worst := slices.MinFunc(all, worse)
	text := fmt.Sprintf("%s: %s %s in %d of %d series", ind.ID, worst.text(), worst.fault(), bad, len(all))
	if worst.value.Key != "" {
		text += "; worst: " + worst.value.Key
	}
	return text
}

func (s series) good() bool { return s.finite && len(s.broken) == 0 }

// text returns the value as people read it: six significant digits are enough
// for a sentence; the samples have them all.
func (s series) text() string {
	text := strings.Trim(string(jsonOrText(s.value.JSON)), `"`)
	if !s.finite || len(text) <= 9 {
		return text
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(s.number, 'g', 6, 64), 64)
	if err != nil {
		return text
	}
	return number(rounded)
}

// fault says what is wrong with a series that is not good.
func (s series) fault() string {
	if !s.finite {
		return "is not a finite number and cannot be judged"
	}
	var faults []string
	for _, l := range s.broken {
		where := "at or below"
		if l.upper() {
			where = "at or above"
		}
		faults = append(faults, where+" "+l.Name+" "+l.Text)
	}
	return "is " + strings.Join(faults, " and ")
}

// beyond returns how far the value is beyond its limits.
func (s series) beyond() float64 {
	d := 0.0
	for _, l := range s.broken {
		d = math.Max(d, math.Abs(s.number-l.Value))
	}
	return d
}

// worse orders series from the worst to the best: those without a number, the
// fewest points, the farthest beyond a limit, then by key.
func worse(a, b series) int {
	if a.finite != b.finite {
		if b.finite {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(len(b.broken), len(a.broken)), cmp.Compare(b.beyond(), a.beyond()),
		cmp.Compare(a.value.Key, b.value.Key), cmp.Compare(a.text(), b.text()))
}

// within describes series of which none broke a limit.
func within(g Grading, all []series) string {
	var limits []string
	for _, pair := range [][3]string{{"above", "lowerWarning", "lowerSevere"}, {"below", "upperWarning", "upperSevere"}} {
		l, ok := g.limit(pair[1])
		if !ok {
			l, ok = g.limit(pair[2])
		}
		if ok {
			limits = append(limits, pair[0]+" "+l.Name+" "+l.Text)
		}
	}
	tail := strings.Join(limits, " and ")
	if tail == "" {
		tail = "not limited"
	}
	if len(all) == 1 {
		return all[0].text() + " is " + tail
	}
	byNumber := func(a, b series) int { return cmp.Compare(a.number, b.number) }
	return fmt.Sprintf("%s to %s in %d series are %s", slices.MinFunc(all, byNumber).text(), slices.MaxFunc(all, byNumber).text(), len(all), tail)
}
