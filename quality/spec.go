package quality

import (
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
)

// The files in which a service says what it has to keep to, within its
// directory. A service has a perfspec, or an SLO with its indicators.
const (
	PerfspecFile = "perfspec/perfspec.json"
	SLOFile      = "slo.yaml"
	SLIFile      = "sli.yaml"
)

// sliFiles are the places of the indicators, as Keptn's services had them, and
// the source that each implies.
var sliFiles = []struct{ file, source string }{
	{SLIFile, ""}, {"prometheus/" + SLIFile, "Prometheus"}, {"dynatrace/" + SLIFile, "Dynatrace"},
}

// Files are the paths that [Read] looks at.
func Files() []string {
	names := []string{PerfspecFile, SLOFile}
	for _, f := range sliFiles {
		names = append(names, f.file)
	}
	return names
}

// Spec is what a service says, of either format.
type Spec struct {
	File     string // by which messages call it
	perfspec *Perfspec
	criteria Criteria
}

// Read reads a service's objectives from its files, by path within its
// directory; dir is put before the paths in messages. ok is false when there
// are none. The error is of kind invalid and holds every problem.
func Read(dir string, files map[string][]byte, o ParseOptions) (s Spec, ok bool, err error) {
	perfspec, hasPerfspec := files[PerfspecFile]
	slo, hasSLO := files[SLOFile]
	var found []string
	for _, f := range sliFiles {
		if _, ok := files[f.file]; ok {
			found = append(found, dir+f.file)
		}
	}
	switch {
	case hasPerfspec && hasSLO:
		return s, true, fairway.InvalidAll([]fairway.Problem{{File: dir + SLOFile, Message: "lies beside " + dir + PerfspecFile, Remedy: "keep one of the two: each says alone what passes"}})
	case len(found) > 1:
		return s, true, fairway.InvalidAll([]fairway.Problem{{File: found[1], Message: "lies beside " + found[0], Remedy: "keep one file of indicators"}})
	case hasPerfspec:
		s.File = dir + PerfspecFile
		p, err := Parse(s.File, perfspec, o)
		if err == nil && o.Written != nil {
			p.templates(o.Written, o)
		}
		s.perfspec = &p
		return s, true, err
	case !hasSLO && len(found) == 0:
		return s, false, nil
	case !hasSLO:
		return s, true, fairway.InvalidAll([]fairway.Problem{{File: dir + SLOFile, Message: "is missing, so that " + found[0] + " is not judged", Remedy: "add it, or remove the indicators"}})
	}
	s.File = dir + SLOFile
	i := slices.IndexFunc(sliFiles, func(f struct{ file, source string }) bool { _, ok := files[f.file]; return ok })
	sli, sliFile := []byte(nil), dir+SLIFile
	if i >= 0 {
		sliFile, sli, o.Source = dir+sliFiles[i].file, files[sliFiles[i].file], sliFiles[i].source
	}
	s.criteria, err = ParseSLO(s.File, slo, sliFile, sli, o)
	return s, true, err
}

// templates keeps the queries as the document has them, whose placeholders
// were replaced before it was read.
func (p *Perfspec) templates(written []byte, o ParseOptions) {
	w, err := Parse("", written, o)
	if err != nil || len(w.Indicators) != len(p.Indicators) {
		return // a placeholder stands where only its value makes a document
	}
	for i := range p.Indicators {
		p.Indicators[i].Template = w.Indicators[i].Query
	}
}

// Indicators are what has to be asked: id, source and query are set.
func (s Spec) Indicators() []Indicator {
	if s.perfspec != nil {
		return s.perfspec.Indicators
	}
	var all []Indicator
	for _, m := range s.criteria.Measures {
		all = append(all, Indicator{ID: m.ID, Source: m.Source, Query: m.Query})
	}
	return all
}

// Compat reports whether the document is read as Pitometer read it.
func (s Spec) Compat() bool { return s.perfspec != nil && s.perfspec.Compat }

// Relative reports whether there is a criterion about earlier evaluations.
func (s Spec) Relative() bool {
	return !s.Compat() && slices.ContainsFunc(s.compiled().Measures, Measure.Relative)
}

// Comparison says which earlier evaluations those criteria are about.
func (s Spec) Comparison() Comparison { return s.compiled().Comparison }

func (s Spec) compiled() Criteria {
	if s.perfspec != nil {
		return s.perfspec.Criteria()
	}
	return s.criteria
}

// Judge applies the specification to results; see [Evaluate].
func (s Spec) Judge(results map[string]SourceResult, o Options) (Judgement, error) {
	if s.perfspec != nil {
		return Evaluate(*s.perfspec, results, o)
	}
	return EvaluateCriteria(s.criteria, results, o)
}

// FileOf says which of the files of [Read] a path names, whatever directory it
// lies in; empty when none.
func FileOf(path string) string {
	base := path[strings.LastIndexByte(path, '/')+1:]
	switch base {
	case "perfspec.json":
		return PerfspecFile
	case SLOFile, SLIFile:
		return base
	}
	return ""
}
