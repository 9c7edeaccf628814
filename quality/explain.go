package quality

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/fairwaycd/fairway"
)

// explain returns the sentence that says why a measure got its points. It
// does not depend on the order of the series.
func (m Measure) explain(all []series, now fairway.Subject) string {
	if len(all) == 0 {
		if m.IgnoreEmpty {
			return m.name() + ": there are no data, which ignoreEmpty lets pass"
		}
		return m.name() + ": there are no data for this test"
	}
	bad, alone := 0, 0
	for _, s := range all {
		if !s.good() {
			bad++
		}
		if s.earlier == nil {
			alone++
		}
	}
	tail := ""
	switch {
	case !m.Relative() || alone == 0:
	case alone == len(all):
		tail = "; there is no earlier evaluation to compare with"
	default:
		tail = fmt.Sprintf("; of %d of %d series there is no earlier value to compare with", alone, len(all))
	}
	if bad == 0 {
		return m.name() + ": " + m.within(all) + tail
	}
	worst := worstOf(all)
	text := fmt.Sprintf("%s: %s %s in %d of %d series", m.name(), worst.text(), worst.fault(), bad, len(all))
	if who := worst.who(now); who != "" {
		text += "; worst: " + who
	}
	return text + tail
}

// who says which series it is, and of which version.
func (s series) who(now fairway.Subject) string {
	key := s.value.Key
	if now.Version == "" {
		return key
	}
	version := now.Place.Workload() + " " + now.Version
	if key == "" || key == "{}" {
		return version
	}
	return version + " " + key
}

func worstOf(all []series) series { return slices.MinFunc(all, worse) }

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
	for _, b := range s.broken {
		faults = append(faults, b.fault())
	}
	return "is " + strings.Join(faults, " and ")
}

// beyond returns how far the value is beyond its limits.
func (s series) beyond() float64 {
	d := 0.0
	for _, b := range s.broken {
		d = math.Max(d, math.Abs(s.number-b.target))
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
	if n := cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(len(b.broken), len(a.broken))); n != 0 {
		return n
	}
	if n := cmp.Or(cmp.Compare(b.beyond(), a.beyond()), cmp.Compare(a.value.Key, b.value.Key)); n != 0 {
		return n
	}
	return cmp.Compare(a.text(), b.text())
}

// within describes series of which none missed its criteria.
func (m Measure) within(all []series) string {
	tail := m.bounds(all)
	if len(all) == 1 {
		return all[0].text() + " is " + tail
	}
	byNumber := func(a, b series) int { return cmp.Compare(a.number, b.number) }
	return fmt.Sprintf("%s to %s in %d series are %s", slices.MinFunc(all, byNumber).text(), slices.MaxFunc(all, byNumber).text(), len(all), tail)
}

// bounds describes what holds for all series: of a perfspec the nearest limit
// on each side, of an SLO the first set that they meet.
func (m Measure) bounds(all []series) string {
	if !m.judged() {
		return "for information only"
	}
	for _, set := range m.Pass {
		var parts []string
		met := true
		for _, s := range all {
			met = met && s.missed([]Set{set}) == nil
		}
		for _, c := range set {
			if c.Name == c.written() {
				parts = append(parts, c.Name)
			}
		}
		if met && len(parts) > 0 {
			return strings.Join(parts, " and ")
		}
	}
	return m.nearest()
}

func (m Measure) nearest() string {
	var limits []string
	for _, pair := range [][2]string{{"above", "lower"}, {"below", "upper"}} {
		for _, set := range append(slices.Clone(m.Pass), m.Warning...) {
			i := slices.IndexFunc(set, func(c Criterion) bool { return strings.HasPrefix(c.Name, pair[1]+"Warning") })
			if i < 0 {
				i = slices.IndexFunc(set, func(c Criterion) bool { return strings.HasPrefix(c.Name, pair[1]) })
			}
			if i >= 0 {
				limits = append(limits, pair[0]+" "+set[i].Name+" "+set[i].Text)
				break
			}
		}
	}
	if len(limits) == 0 {
		return "not limited"
	}
	return strings.Join(limits, " and ")
}
