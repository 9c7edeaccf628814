package chart

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway"
)

// Services returns the services of the branch, in alphabetical order. A
// values.yaml that cannot be read has none; [Check] says what is wrong with it.
func Services(files map[string][]byte) []fairway.ServiceName {
	root, err := parse(ValuesFile, files[ValuesFile])
	if err != nil {
		return nil
	}
	return servicesIn(root)
}

// Repositories returns the image repositories that each service's values name
// for any of its places, without tags. A branch whose values cannot be read
// has none.
func Repositories(files map[string][]byte) map[fairway.ServiceName][]string {
	out := map[fairway.ServiceName][]string{}
	root, err := parse(ValuesFile, files[ValuesFile])
	if err != nil {
		return out
	}
	for _, s := range servicesIn(root) {
		for _, c := range []fairway.Colour{fairway.Single, fairway.Blue, fairway.Green} {
			image := imageOf(get(root, ColourKey(s, c))).Image
			if image != "" && !slices.Contains(out[s], image) {
				out[s] = append(out[s], image)
			}
		}
	}
	return out
}

// servicesIn returns the services: the keys whose service.name leads back to
// them, but for those of colours.
func servicesIn(root *yaml.Node) []fairway.ServiceName {
	var list []fairway.ServiceName
	for i := 0; i+1 < len(root.Content); i += 2 {
		if n := get(root.Content[i+1], "service", "name"); n != nil && n.Kind == yaml.ScalarNode {
			if s := fairway.ServiceName(n.Value); s != "" && !ofColour(s) && Key(s) == root.Content[i].Value {
				list = append(list, s)
			}
		}
	}
	slices.Sort(list)
	return list
}

// service reads the values of one service out of a values.yaml, with true
// positions. The root may lack what is other services'. KindNotFound when
// there is no such service.
func service(values []byte, s fairway.ServiceName) (*yaml.Node, error) {
	if part, ok := narrow(values, s); ok {
		if root, err := parse(ValuesFile, part); err == nil && known(root, s) == nil {
			return root, nil
		}
	}
	root, err := parse(ValuesFile, values)
	if err != nil {
		return nil, err
	}
	return root, known(root, s)
}

// narrow blanks the lines of all top-level keys but the service's, since most
// of the time that a big project's values take goes into reading the others.
// ok is false where the keys cannot be told by their lines alone.
func narrow(values []byte, s fairway.ServiceName) (part []byte, ok bool) {
	if bytes.ContainsRune(values, '&') { // an anchor may be what an alias elsewhere means
		return nil, false
	}
	keys := []string{Key(s), ColourKey(s, fairway.Blue), ColourKey(s, fairway.Green)}
	keep, found := false, 0
	for line := range bytes.Lines(values) {
		switch line[0] {
		case ' ', '#', '\n', '\r':
		case '-', '.', '%', '?', '{', '[', '\t', 0xEF:
			return nil, false
		default:
			key, _, _ := bytes.Cut(line, []byte(":"))
			keep = slices.Contains(keys, string(key))
			if string(key) == keys[0] {
				found++
			}
		}
		if keep {
			part = append(part, line...)
		} else {
			part = append(part, '\n')
		}
	}
	return part, found == 1
}

// ofColour reports whether the name is that of a colour's values; no service
// is called so.
func ofColour(s fairway.ServiceName) bool {
	return strings.HasSuffix(string(s), "-blue") || strings.HasSuffix(string(s), "-green")
}

// known returns an error of KindNotFound that lists what exists unless the
// values have the service.
func known(root *yaml.Node, s fairway.ServiceName) error {
	list := servicesIn(root)
	if slices.Contains(list, s) {
		return nil
	}
	return fairway.Errorf(fairway.KindNotFound, "the branch has no service %q; %s", s, listed(list))
}

func listed(list []fairway.ServiceName) string {
	if len(list) == 0 {
		return "it has none yet, onboard it first"
	}
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = string(s)
	}
	return "it has " + strings.Join(names, ", ")
}

// Strategy returns the strategy that the service is laid out for in the
// branch. KindNotFound when the branch has no such service.
func Strategy(files map[string][]byte, s fairway.ServiceName) (fairway.DeploymentStrategy, error) {
	root, err := service(files[ValuesFile], s)
	if err != nil {
		return "", err
	}
	return strategyIn(root, s), nil
}

func strategyIn(root *yaml.Node, s fairway.ServiceName) fairway.DeploymentStrategy {
	if get(root, ColourKey(s, fairway.Blue)) != nil && get(root, ColourKey(s, fairway.Green)) != nil {
		return fairway.BlueGreen
	}
	return fairway.Direct
}

func coloursOf(st fairway.DeploymentStrategy) []fairway.Colour {
	return fairway.Stage{DeploymentStrategy: st}.Colours()
}

// Remove takes the service out of the branch: its values, templates and
// directory. It is no error that the branch does not have it.
func Remove(files map[string][]byte, s fairway.ServiceName) (map[string][]byte, error) {
	root, err := parse(ValuesFile, files[ValuesFile])
	if err != nil {
		return nil, err
	}
	changes := map[string][]byte{}
	if known(root, s) != nil {
		return changes, nil
	}
	owners := NewOwners(servicesIn(root))
	for file := range files {
		if owner, ok := owners.File(file); ok && owner.Service == s || strings.HasPrefix(file, string(s)+"/") {
			changes[file] = nil
		}
	}
	values := files[ValuesFile]
	for _, c := range []fairway.Colour{fairway.Single, fairway.Blue, fairway.Green} {
		if values, err = removeKey(values, ColourKey(s, c)); err != nil {
			return nil, err
		}
	}
	changes[ValuesFile] = values
	return changes, nil
}

// removeKey takes a top-level key out of a file and leaves all other lines as
// they are where it can.
func removeKey(data []byte, key string) ([]byte, error) {
	root, err := parse(ValuesFile, data)
	if err != nil || get(root, key) == nil {
		return data, err
	}
	first, last := blockLines(data, root, key)
	lines := bytes.SplitAfter(data, []byte("\n"))
	wanted := clone(root)
	drop(wanted, key)
	out := bytes.Join(slices.Delete(slices.Clone(lines), first-1, min(last, len(lines))), nil)
	if got, err := parse(ValuesFile, out); err == nil && equal(got, wanted) {
		return out, nil
	}
	return encode(wanted)
}

// blockLines returns the lines of a top-level key, counted from 1, without what
// is about the next one.
func blockLines(data []byte, root *yaml.Node, key string) (first, last int) {
	last = bytes.Count(data, []byte("\n")) + 1
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == key {
			first = root.Content[i].Line
			if i+2 < len(root.Content) {
				last = root.Content[i+2].Line - 1
			}
		}
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	for last > first && ownLine(lines[last-1]) { // what precedes the next key is about that key
		last--
	}
	return first, last
}

// ownLine reports whether the line is blank or a comment at the left margin.
func ownLine(line []byte) bool {
	return len(bytes.TrimSpace(line)) == 0 || line[0] == '#'
}

// Overlay returns the branch's files with the changes made.
func Overlay(files, changes map[string][]byte) map[string][]byte {
	all := maps.Clone(files)
	if all == nil {
		all = map[string][]byte{}
	}
	for path, data := range changes {
		if data == nil {
			delete(all, path)
			continue
		}
		all[path] = data
	}
	return all
}
