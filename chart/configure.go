package chart

import (
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway"
)

// Version is what a delivery configures in a stage: an artifact, and the
// values and templates that it runs with.
type Version struct {
	Artifact fairway.Artifact
	Colour   fairway.Colour // that gets it
	// From is the branch that holds the service as it is to become, and
	// Source the colour whose part it is to become; nil when it stays.
	From   map[string][]byte
	Source fairway.Colour
	// Live is the branch from which the other colour runs, with the traffic;
	// nil when there is none.
	Live map[string][]byte
}

// Configure returns the changes by which the version's colour gets it, and by
// which the other colour says what it runs. Without a new state of the
// service, the version runs with what the version with the traffic runs with,
// whatever was tried in its colour before. Weights stay.
func Configure(files map[string][]byte, s fairway.ServiceName, v Version) (map[string][]byte, error) {
	e := editing{service: s, files: maps.Clone(files), was: files}
	other := v.Colour.Other()
	if v.From != nil {
		if err := e.take(v.From); err != nil {
			return nil, err
		}
		if v.Source != v.Colour {
			if err := e.takeColour(v.From, v.Source, v.Colour); err != nil {
				return nil, err
			}
		}
	}
	if v.Live != nil && v.Colour != fairway.Single {
		to := v.Colour
		if v.From != nil {
			to = other
		}
		if err := e.takeColour(v.Live, other, to); err != nil {
			return nil, err
		}
	}
	changes, err := SetImage(e.files, s, v.Colour, v.Artifact)
	if err != nil {
		return nil, err
	}
	maps.Copy(e.files, changes)
	return e.changes(), nil
}

// PutBack returns the changes by which the branch says again what runs: the
// service as it is in live, but for the part of the colour that was turned
// away, and with the branch's weights. In a direct stage the colour is
// [fairway.Single], and everything goes back.
func PutBack(files, live map[string][]byte, s fairway.ServiceName, turnedAway fairway.Colour) (map[string][]byte, error) {
	e := editing{service: s, files: maps.Clone(files), was: files}
	if err := e.take(live); err != nil {
		return nil, err
	}
	if turnedAway != fairway.Single {
		for _, c := range []fairway.Colour{turnedAway, turnedAway.Other()} {
			from := files
			if c != turnedAway {
				from = live
			}
			if err := e.takeColour(from, c, c); err != nil {
				return nil, err
			}
		}
	}
	return e.changes(), nil
}

// editing is a branch in the making. was is how it stood.
type editing struct {
	service    fairway.ServiceName
	files, was map[string][]byte
}

func (e *editing) changes() map[string][]byte {
	changes := map[string][]byte{}
	for file, body := range e.files {
		if was, ok := e.was[file]; !ok || !bytes.Equal(was, body) {
			changes[file] = body
		}
	}
	for file := range e.was {
		if _, ok := e.files[file]; !ok {
			changes[file] = nil
		}
	}
	return changes
}

// take makes the service's values, templates and own chart those of the other
// branch, with the weights that stand.
func (e *editing) take(from map[string][]byte) error {
	owned, err := e.owned(from)
	if err != nil {
		return err
	}
	here, err := e.owned(e.files)
	if err != nil {
		return err
	}
	for _, file := range here {
		if _, ok := from[file]; !ok {
			delete(e.files, file)
		}
	}
	for _, file := range owned {
		e.files[file] = from[file]
	}
	weights := VirtualServiceFile(e.service)
	if w, _, err := ReadWeights(weights, e.was[weights]); err == nil && e.files[weights] != nil {
		if w == nil {
			w = fairway.Weights{}
		}
		if text, err := editWeights(weights, e.files[weights], w); err == nil {
			e.files[weights] = text
		}
	}
	for _, c := range []fairway.Colour{fairway.Single, fairway.Blue, fairway.Green} {
		key := ColourKey(e.service, c)
		text, err := e.block(from[ValuesFile], key)
		if err != nil || text == nil {
			return err
		}
		if err := e.setBlock(key, text); err != nil {
			return err
		}
	}
	return nil
}

// owned lists the service's templates in the branch and its own chart.
func (e *editing) owned(files map[string][]byte) ([]string, error) {
	root, err := parse(ValuesFile, files[ValuesFile])
	if err != nil {
		return nil, err
	}
	owners := NewOwners(servicesIn(root))
	var list []string
	for file := range files {
		owner, ok := owners.File(file)
		if ok && owner.Service == e.service || strings.HasPrefix(file, OwnDir(e.service)+"/") {
			list = append(list, file)
		}
	}
	slices.Sort(list)
	return list, nil
}

// takeColour makes one colour's Deployment and values those of a colour of the
// other branch. Replicas and resources take effect in place: of a colour's own
// part they stay as they are.
func (e *editing) takeColour(from map[string][]byte, c, to fairway.Colour) error {
	if text := from[DeploymentFile(e.service, c)]; text != nil {
		e.files[DeploymentFile(e.service, to)] = recolour(text, e.service, c, to)
	}
	text, err := e.block(from[ValuesFile], ColourKey(e.service, c))
	if err != nil || text == nil {
		return err
	}
	if text, err = e.keepScale(text, c); err != nil {
		return err
	}
	text = recolour(text, e.service, c, to)
	if same, err := e.sameButImage(text, ColourKey(e.service, to)); err != nil || same && c != to {
		return err
	}
	return e.setBlock(ColourKey(e.service, to), text)
}

// sameButImage reports whether the branch has these values under the key, with
// whatever image. It spares reading a big project's values as a whole.
func (e *editing) sameButImage(text []byte, key string) (bool, error) {
	now, err := e.block(e.files[ValuesFile], key)
	if err != nil || now == nil {
		return false, err
	}
	a, err := parse(ValuesFile, now)
	if err != nil {
		return false, err
	}
	b, err := parse(ValuesFile, text)
	if err != nil {
		return false, err
	}
	for _, root := range []*yaml.Node{a, b} {
		for _, name := range []string{"repository", "tag"} {
			set(root, nullNode(), key, "image", name)
		}
	}
	return equal(a, b), nil
}

// keepScale gives a colour's values the replicas and resources that the branch
// had for it.
func (e *editing) keepScale(text []byte, c fairway.Colour) ([]byte, error) {
	root, err := parse(ValuesFile, text)
	if err != nil {
		return nil, err
	}
	key, changed := ColourKey(e.service, c), false
	now, err := e.block(e.was[ValuesFile], key)
	if err != nil {
		return nil, err
	}
	was, err := parse(ValuesFile, now)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"replicaCount", "resources"} {
		have, want := get(root, key, name), get(was, key, name)
		if want != nil && !equal(have, want) {
			set(root, clone(want), key, name)
			changed = true
		}
	}
	if !changed {
		return text, nil
	}
	return encode(root)
}

// block returns the lines of a key of the service, nil when there is none.
func (e *editing) block(data []byte, key string) ([]byte, error) {
	if part, ok := narrow(data, e.service); ok {
		data = part
	}
	root, err := parse(ValuesFile, data)
	if err != nil || get(root, key) == nil {
		return nil, err
	}
	first, last := blockLines(data, root, key)
	only := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{wordNode(key), get(root, key)}}
	text := bytes.Join(bytes.SplitAfter(data, []byte("\n"))[first-1:last], nil)
	if got, err := parse(ValuesFile, text); err == nil && equal(got, only) {
		return text, nil
	}
	return encode(only)
}

// setBlock replaces the lines of a top-level key, or appends them.
func (e *editing) setBlock(key string, text []byte) error {
	data := e.files[ValuesFile]
	root, err := parse(ValuesFile, data)
	if err != nil {
		return err
	}
	added, err := parse(ValuesFile, text)
	if err != nil {
		return err
	}
	if have := get(root, key); have != nil && equal(have, get(added, key)) {
		return nil
	}
	wanted := clone(root)
	set(wanted, clone(get(added, key)), key)
	if !bytes.HasSuffix(text, []byte("\n")) {
		text = append(bytes.Clone(text), '\n')
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	out := append(bytes.Clone(bytes.TrimRight(data, "\n")), '\n')
	if get(root, key) == nil {
		out = append(out, text...)
	} else {
		first, last := blockLines(data, root, key)
		out = slices.Concat(bytes.Join(lines[:first-1], nil), text, bytes.Join(lines[last:], nil))
	}
	if got, err := parse(ValuesFile, out); err == nil && equal(got, wanted) {
		e.files[ValuesFile] = out
		return nil
	}
	e.files[ValuesFile], err = encode(wanted)
	return err
}

// recolour makes one colour's text the other's: the names that [colourCopy]
// gave, and a label that says the colour alone.
func recolour(text []byte, s fairway.ServiceName, c, to fairway.Colour) []byte {
	if c == to || c == fairway.Single {
		return text
	}
	for from, into := range map[string]string{
		fairway.Place{Service: s, Colour: c}.Workload(): fairway.Place{Service: s, Colour: to}.Workload(),
		ColourKey(s, c): ColourKey(s, to),
	} {
		text = regexp.MustCompile(`(^|[^A-Za-z0-9_-])`+regexp.QuoteMeta(from)+`\b`).ReplaceAll(text, []byte("${1}"+into))
	}
	return regexp.MustCompile(`(?m)(:[ \t]+["']?)`+string(c)+`(["']?[ \t]*(?:$|[,}\r]))`).ReplaceAll(text, []byte("${1}"+string(to)+"${2}"))
}
