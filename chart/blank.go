package chart

import (
	"bytes"

	"github.com/fairwaycd/fairway"
)

// Blank returns the changes after which the branch says of every service that
// nothing was delivered: no image in any colour and no weights. It is how the
// branch of a new stage begins that was copied from another stage's.
func Blank(files map[string][]byte) (map[string][]byte, error) {
	root, err := parse(ValuesFile, files[ValuesFile])
	if err != nil {
		return nil, err
	}
	changes := map[string][]byte{}
	values := files[ValuesFile]
	for _, s := range servicesIn(root) {
		st := strategyIn(root, s)
		for _, c := range coloursOf(st) {
			if values, err = clearImage(values, s, c); err != nil {
				return nil, err
			}
		}
		if st == fairway.Direct {
			continue
		}
		file := VirtualServiceFile(s)
		out, err := editWeights(file, files[file], fairway.Weights{})
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(out, files[file]) {
			changes[file] = out
		}
	}
	if !bytes.Equal(values, files[ValuesFile]) {
		changes[ValuesFile] = values
	}
	return changes, nil
}

// clearImage leaves a colour without image and tag.
func clearImage(data []byte, s fairway.ServiceName, c fairway.Colour) ([]byte, error) {
	root, err := parse(ValuesFile, data)
	if err != nil {
		return nil, err
	}
	if imageOf(get(root, ColourKey(s, c))).Image == "" {
		return data, nil
	}
	out := data
	for _, key := range []string{"repository", "tag"} {
		keys := []string{ColourKey(s, c), "image", key}
		if root, err = parse(ValuesFile, out); err != nil {
			return nil, err
		}
		old := get(root, keys...)
		wanted := clone(root)
		set(wanted, nullNode(), keys...)
		edited, ok := splice(out, old, "null")
		if got, err := parse(ValuesFile, edited); ok && err == nil && equal(got, wanted) {
			out = edited
			continue
		}
		if out, err = encode(wanted); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// WeightsAt returns where in the file of a service's weights the first of them
// stands, from 1; 0 when there is none.
func WeightsAt(file string, data []byte) (line, column int) {
	rules, err := splits(file, data)
	if err != nil {
		return 0, 0
	}
	n := rules[0].node[fairway.Blue]
	return n.Line, n.Column
}
