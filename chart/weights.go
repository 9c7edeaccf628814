package chart

import (
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway"
)

// Weights returns the split that the service's VirtualService says. ok is
// false before the first release, when both weights are 0. In a direct stage,
// whose file names no weights, all goes to the only place once it has an
// image. Weights that do not sum to 100 are an error with file and line.
func Weights(files map[string][]byte, s fairway.ServiceName) (w fairway.Weights, ok bool, err error) {
	st, err := Strategy(files, s)
	if err != nil {
		return nil, false, err
	}
	if st == fairway.Direct {
		_, ok, err := Image(files, s, fairway.Single)
		if err != nil || !ok {
			return nil, false, err
		}
		return fairway.Full(fairway.Single), true, nil
	}
	file := VirtualServiceFile(s)
	return ReadWeights(file, files[file])
}

// ReadWeights returns the weights of blue and green in a VirtualService; see
// [Weights].
func ReadWeights(file string, data []byte) (w fairway.Weights, ok bool, err error) {
	rules, err := splits(file, data)
	if err != nil {
		return nil, false, err
	}
	for _, rule := range rules {
		got := fairway.Weights{fairway.Blue: rule.value[fairway.Blue], fairway.Green: rule.value[fairway.Green]}
		if got[fairway.Blue] != 0 || got[fairway.Green] != 0 {
			if err := got.Validate(); err != nil {
				p := fairway.Problems(err)[0]
				p.File, p.Line, p.Column = file, rule.node[fairway.Blue].Line, rule.node[fairway.Blue].Column
				return nil, false, fairway.InvalidAll([]fairway.Problem{p})
			}
		}
		if w != nil && w.String() != got.String() {
			p := problem(file, rule.node[fairway.Blue], "weights", "differ from "+w.String()+" further up", "give all rules the same weights")
			p.Value = got.String()
			return nil, false, fairway.InvalidAll([]fairway.Problem{p})
		}
		w = got
	}
	if w[fairway.Blue] == 0 && w[fairway.Green] == 0 {
		return nil, false, nil
	}
	return w, true, nil
}

// SetWeights writes the split into the service's VirtualService and changes
// nothing but the weights' lines. In a direct stage there is nothing to write.
func SetWeights(files map[string][]byte, s fairway.ServiceName, w fairway.Weights) (map[string][]byte, error) {
	// Both at 0 is how a service stands before its first release, and again
	// when that was taken back.
	none := len(w) == 2 && w[fairway.Blue] == 0 && w[fairway.Green] == 0
	if err := w.Validate(); err != nil && !none {
		return nil, err
	}
	st, err := Strategy(files, s)
	if err != nil {
		return nil, err
	}
	_, single := w[fairway.Single]
	if single != (st == fairway.Direct) {
		return nil, fairway.Errorf(fairway.KindRefused, "weights %s of service %s do not fit its strategy %s in this stage", w, s, st)
	}
	if single {
		return map[string][]byte{}, nil
	}
	file := VirtualServiceFile(s)
	out, err := editWeights(file, files[file], w)
	if err != nil || string(out) == string(files[file]) {
		return map[string][]byte{}, err
	}
	return map[string][]byte{file: out}, nil
}

func editWeights(file string, data []byte, w fairway.Weights) ([]byte, error) {
	rules, err := splits(file, data)
	if err != nil {
		return nil, err
	}
	out := data
	for n := range rules {
		for _, c := range []fairway.Colour{fairway.Blue, fairway.Green} {
			node := rules[n].node[c]
			edited, ok := splice(out, node, strconv.Itoa(w[c]))
			if !ok {
				return nil, problemAt(file, node, "weight", "cannot be replaced", "write it as a plain number")
			}
			out = edited
			// Positions move within a line in which several weights stand.
			if rules, err = splits(file, out); err != nil {
				return nil, err
			}
		}
	}
	for _, rule := range rules {
		if rule.value[fairway.Blue] != w[fairway.Blue] || rule.value[fairway.Green] != w[fairway.Green] {
			return nil, problemAt(file, rule.node[fairway.Blue], "weight", "cannot be replaced", "write each weight as a plain number in a line of its own")
		}
	}
	return out, nil
}

// split is a rule of a VirtualService that divides traffic between colours.
type split struct {
	value map[fairway.Colour]int
	node  map[fairway.Colour]*yaml.Node
}

// splits returns the rules with both colours, at least one.
func splits(file string, data []byte) ([]split, error) {
	if data == nil {
		return nil, fairway.InvalidAll([]fairway.Problem{{File: file, Message: "is missing", Remedy: "restore it; the weights of blue and green stand in it"}})
	}
	docs, err := documents(file, masked(data))
	if err != nil {
		return nil, err
	}
	var rules []split
	for _, doc := range docs {
		http := get(doc, "spec", "http")
		if http == nil || http.Kind != yaml.SequenceNode {
			continue
		}
		for _, rule := range http.Content {
			s, err := readSplit(file, get(rule, "route"))
			if err != nil {
				return nil, err
			}
			if len(s.node) == 2 {
				rules = append(rules, s)
			}
		}
	}
	if len(rules) == 0 {
		return nil, fairway.InvalidAll([]fairway.Problem{{File: file, Field: "spec.http", Message: "has no rule with a destination for subset blue and one for subset green", Remedy: "restore the two destinations, each with its weight"}})
	}
	return rules, nil
}

func readSplit(file string, route *yaml.Node) (split, error) {
	s := split{value: map[fairway.Colour]int{}, node: map[fairway.Colour]*yaml.Node{}}
	if route == nil || route.Kind != yaml.SequenceNode {
		return s, nil
	}
	missing := []*yaml.Node{}
	for _, d := range route.Content {
		subset := get(d, "destination", "subset")
		if subset == nil || subset.Value != string(fairway.Blue) && subset.Value != string(fairway.Green) {
			continue
		}
		c := fairway.Colour(subset.Value)
		weight := get(d, "weight")
		if isNull(weight) {
			missing = append(missing, d)
			continue
		}
		if s.node[c] != nil {
			return s, problemAt(file, subset, "subset", "stands twice in one rule", "keep one destination for each colour")
		}
		v, err := strconv.Atoi(weight.Value)
		if err != nil || weight.Kind != yaml.ScalarNode {
			return s, problemAt(file, weight, "weight of "+c.String(), "is not a whole number", "write a number from 0 to 100; Fairway edits it here")
		}
		s.value[c], s.node[c] = v, weight
	}
	if len(missing) > 0 && len(missing)+len(s.node) > 1 {
		return s, problemAt(file, missing[0], "weight", fmt.Sprintf("is missing in %d of %d destinations", len(missing), len(missing)+len(s.node)), "write the weight of each colour; they sum to 100")
	}
	return s, nil
}
