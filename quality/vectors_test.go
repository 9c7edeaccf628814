package quality_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/quality"
)

type vector struct {
	N             int                        `json:"n"`
	Name          string                     `json:"name"`
	Perfspec      json.RawMessage            `json:"perfspec"`
	SourceResults map[string]json.RawMessage `json:"sourceResults"`
	Expected      json.RawMessage            `json:"expected"`
}

func readVectors(t *testing.T) []vector {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "pitometer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []vector }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	return file.Vectors
}

// results reads a vector's answers; a boolean or a text stands for a source
// that did not answer.
func (v vector) results(t *testing.T) map[string]quality.SourceResult {
	t.Helper()
	rs := map[string]quality.SourceResult{}
	for id, raw := range v.SourceResults {
		if raw[0] != '[' {
			rs[id] = quality.SourceResult{Failure: "the source did not answer"}
			continue
		}
		var list []struct {
			Key   string
			Value json.RawMessage
		}
		if err := json.Unmarshal(raw, &list); err != nil {
			t.Fatal(err)
		}
		var r quality.SourceResult
		for _, e := range list {
			r.Values = append(r.Values, quality.Value{Key: e.Key, JSON: e.Value})
		}
		rs[id] = r
	}
	return rs
}

// answer is what a run says, in the shape of the vectors.
func answer(t *testing.T, v vector, o quality.ParseOptions) map[string]any {
	t.Helper()
	spec, err := quality.Parse("perfspec.json", v.Perfspec, o)
	if err != nil {
		var texts []any
		for _, p := range fairway.Problems(err) {
			texts = append(texts, p.Field+" "+p.Message)
		}
		return map[string]any{"error": true, "problems": texts}
	}
	j, err := quality.Evaluate(spec, v.results(t), quality.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if j.Verdict == fairway.VerdictError {
		return map[string]any{"error": true}
	}
	var document struct{ Objectives json.RawMessage }
	if err := json.Unmarshal(v.Perfspec, &document); err != nil {
		t.Fatal(err)
	}
	irs := []any{}
	for _, ir := range j.Indicators {
		m := map[string]any{"id": ir.ID, "violations": ir.Violations}
		if !math.IsNaN(ir.Score) {
			m["score"] = ir.Score
		}
		irs = append(irs, m)
	}
	var total any
	if !math.IsNaN(j.TotalScore) {
		total = j.TotalScore
	}
	return map[string]any{"totalScore": total, "result": j.Verdict, "objectives": document.Objectives, "indicatorResults": irs}
}

func plain(t *testing.T, v any) any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func show(v any) string {
	data, _ := json.Marshal(v)
	return string(data)
}

func TestVectorsCompat(t *testing.T) {
	t.Parallel()
	vectors := readVectors(t)
	if len(vectors) < 35 {
		t.Fatalf("only %d vectors", len(vectors))
	}
	for _, v := range vectors {
		got := answer(t, v, quality.ParseOptions{Compat: true})
		delete(got, "problems")
		if g, w := plain(t, got), plain(t, v.Expected); !reflect.DeepEqual(g, w) {
			t.Errorf("%d %s:\n got %s\nwant %s", v.N, v.Name, show(g), show(w))
		}
	}
}

type defaultAnswer struct {
	N       int    `json:"n"`
	Name    string `json:"name"`
	Differs bool   `json:"differs"`
	Why     string `json:"why,omitempty"`
	Answer  any    `json:"answer"`
}

// TestVectorsDefault checks the default reading's answer to every vector, and
// that each difference from the original is explained.
func TestVectorsDefault(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("testdata", "default-answers.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Answers []defaultAnswer }
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&struct {
		About   *string
		Answers *[]defaultAnswer
	}{new(string), &file.Answers}); err != nil {
		t.Fatal(err)
	}
	vectors := readVectors(t)
	if len(file.Answers) != len(vectors) {
		t.Fatalf("%d answers for %d vectors", len(file.Answers), len(vectors))
	}
	for i, v := range vectors {
		want := file.Answers[i]
		if want.N != v.N || want.Name != v.Name {
			t.Errorf("answer %d is for %d %s, not for %d %s", i, want.N, want.Name, v.N, v.Name)
		}
		got := plain(t, answer(t, v, quality.ParseOptions{}))
		if !reflect.DeepEqual(got, want.Answer) {
			t.Errorf("%d %s:\n got %s\nwant %s", v.N, v.Name, show(got), show(want.Answer))
		}
		bare, _ := got.(map[string]any)
		delete(bare, "problems")
		if differs := !reflect.DeepEqual(plain(t, bare), plain(t, v.Expected)); differs != want.Differs || differs != (strings.TrimSpace(want.Why) != "") {
			t.Errorf("%d %s: differs from the original: %v; the file says %v, because %q", v.N, v.Name, differs, want.Differs, want.Why)
		}
	}
}
