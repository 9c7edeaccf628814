package simulator

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

type collection struct {
	MetricID string  `json:"metricId"`
	Data     []tuple `json:"data"`
}

type tuple struct {
	Dimensions   []string          `json:"dimensions"`
	DimensionMap map[string]string `json:"dimensionMap"`
	Timestamps   []int64           `json:"timestamps"`
	Values       []*float64        `json:"values"`
}

// selected is one metric of a selector with its transformations.
type selected struct {
	text       string
	metric     metric
	kind       string // aggregation
	percentile float64
	merged     bool
}

func (s *Server) queryV2(r *http.Request) (any, *refused) {
	q := r.URL.Query()
	if key := q.Get("nextPageKey"); key != "" {
		if len(q) > 1 {
			return nil, refuse(http.StatusBadRequest, "nextPageKey cannot be combined with other parameters")
		}
		p, ok := s.pages[key]
		if !ok {
			return nil, refuse(http.StatusBadRequest, "Unknown nextPageKey")
		}
		return s.paged(p.result), nil
	}
	from, err1 := strconv.ParseInt(q.Get("from"), 10, 64)
	to, err2 := strconv.ParseInt(q.Get("to"), 10, 64)
	resolution := q.Get("resolution")
	switch {
	case err1 != nil || err2 != nil || from >= to:
		return nil, refuse(http.StatusBadRequest, "The timeframe from %q to %q is not valid", q.Get("from"), q.Get("to"))
	case resolution != "1m" && !strings.EqualFold(resolution, "inf"):
		return nil, refuse(http.StatusBadRequest, "The resolution %q is not valid", resolution)
	}
	list, err := selectors(q.Get("metricSelector"))
	if err != nil {
		return nil, err
	}
	entities := s.entities
	if text := q.Get("entitySelector"); text != "" {
		if entities, err = s.selectEntities(text); err != nil {
			return nil, err
		}
	}
	var result []collection
	for _, m := range list {
		result = append(result, collection{m.text, s.tuples(m, entities, time.UnixMilli(from), time.UnixMilli(to), resolution != "1m")})
	}
	return s.paged(result), nil
}

// paged gives the first PageSize tuples and a key for the rest.
func (s *Server) paged(result []collection) map[string]any {
	total := 0
	for _, c := range result {
		total += len(c.Data)
	}
	answer := map[string]any{"totalCount": total, "nextPageKey": nil, "resolution": "1m", "result": result}
	if s.PageSize <= 0 || total <= s.PageSize || len(result) != 1 {
		return answer
	}
	if s.pages == nil {
		s.pages = map[string]page{}
	}
	key := fmt.Sprintf("page-%d", len(s.pages)+1)
	s.pages[key] = page{[]collection{{result[0].MetricID, result[0].Data[s.PageSize:]}}}
	answer["nextPageKey"], answer["result"] = key, []collection{{result[0].MetricID, result[0].Data[:s.PageSize]}}
	return answer
}

func (s *Server) tuples(m selected, entities []Entity, from, to time.Time, total bool) []tuple {
	groups := map[string]map[int64][]float64{}
	for _, e := range entities {
		cut := spans(s.values[m.metric.v2+" "+e.ID], from, to)
		if len(cut) == 0 {
			continue
		}
		name := e.ID
		if m.merged {
			name = ""
		}
		if groups[name] == nil {
			groups[name] = map[int64][]float64{}
		}
		for begin, vs := range cut {
			groups[name][begin] = append(groups[name][begin], vs...)
		}
	}
	out := []tuple{}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		t := tuple{Dimensions: []string{}, DimensionMap: map[string]string{}}
		if name != "" {
			t.Dimensions, t.DimensionMap = []string{name}, map[string]string{"dt.entity.service": name}
		}
		add := func(at int64, vs []float64) {
			v := aggregate(m.kind, m.percentile, vs)
			t.Timestamps, t.Values = append(t.Timestamps, at), append(t.Values, &v)
		}
		if total {
			add(to.UnixMilli(), flat(groups[name]))
		} else {
			for _, begin := range slices.Sorted(maps.Keys(groups[name])) {
				add(begin+slot.Milliseconds(), groups[name][begin])
			}
			t.Timestamps, t.Values = append(t.Timestamps, to.Truncate(slot).Add(2*slot).UnixMilli()), append(t.Values, nil)
		}
		out = append(out, t)
	}
	return out
}

// selectors reads KEY:TRANSFORMATION:…,….
func selectors(text string) ([]selected, *refused) {
	var list []selected
	for _, one := range split(text, ',') {
		i := slices.IndexFunc(metrics, func(m metric) bool { return one == m.v2 || strings.HasPrefix(one, m.v2+":") })
		if i < 0 {
			return nil, refuse(http.StatusNotFound, "The metric selector %q matches no metric", one)
		}
		m := selected{text: one, metric: metrics[i], kind: metrics[i].aggregations[0]}
		for _, t := range split(strings.TrimPrefix(strings.TrimPrefix(one, metrics[i].v2), ":"), ':') {
			if !m.transform(t) {
				return nil, refuse(http.StatusBadRequest, "The metric selector %q has the unknown transformation %q", one, t)
			}
		}
		list = append(list, m)
	}
	switch {
	case len(list) == 0:
		return nil, refuse(http.StatusBadRequest, "The parameter metricSelector is required")
	case len(list) > maxMetrics:
		return nil, refuse(http.StatusBadRequest, "More than %d metrics were selected", maxMetrics)
	}
	return list, nil
}

var percentile = regexp.MustCompile(`^percentile\(([0-9.]+)\)$`)

func (m *selected) transform(t string) bool {
	switch {
	case slices.Contains([]string{"avg", "min", "max", "sum", "count", "median"}, t):
		m.kind = strings.ToUpper(t)
	case percentile.MatchString(t):
		m.kind = "PERCENTILE"
		m.percentile, _ = strconv.ParseFloat(percentile.FindStringSubmatch(t)[1], 64)
	case t == "splitBy()", t == "merge(0)", t == `merge("dt.entity.service")`:
		m.merged = true
	case t == `splitBy("dt.entity.service")`, t == "names":
	default:
		return false
	}
	return slices.Contains(m.metric.aggregations, m.kind)
}

var criterion = regexp.MustCompile(`^(type|entityId|tag)\((.*)\)$`)

// selectEntities reads an entity selector.
func (s *Server) selectEntities(text string) ([]Entity, *refused) {
	if len(text) > maxText {
		return nil, refuse(http.StatusBadRequest, "The entity selector is longer than %d characters", maxText)
	}
	list, typed := s.entities, false
	for _, c := range split(text, ',') {
		m := criterion.FindStringSubmatch(c)
		if m == nil {
			return nil, refuse(http.StatusBadRequest, "The entity selector has the unknown criterion %q", c)
		}
		var args []string
		for _, a := range split(m[2], ',') {
			args = append(args, strings.Trim(a, `"`))
		}
		typed = typed || m[1] != "tag"
		var kept []Entity
		for _, e := range list {
			if m[1] == "type" && strings.EqualFold(e.Type, args[0]) || m[1] == "entityId" && slices.Contains(args, e.ID) ||
				m[1] == "tag" && slices.ContainsFunc(args, func(t string) bool { return slices.Contains(e.Tags, t) }) {
				kept = append(kept, e)
			}
		}
		list = kept
	}
	if !typed {
		return nil, refuse(http.StatusBadRequest, "The entity selector needs a type or an entityId")
	}
	return list, nil
}

// split cuts text at sep outside of parentheses and quotation marks.
func split(text string, sep byte) (parts []string) {
	depth, quoted, begin := 0, false, 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == sep && depth == 0:
			parts, begin = append(parts, text[begin:i]), i+1
		}
	}
	if begin < len(text) {
		parts = append(parts, text[begin:])
	}
	return parts
}
