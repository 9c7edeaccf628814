package process

import (
	"slices"
	"strconv"
	"strings"
)

// variable is one entry of a container's environment, its sources resolved.
type variable struct {
	name, value string
	// literal marks a value that was written in the template, in which
	// $(NAME) and {{port}} are replaced; the content of ConfigMaps and
	// Secrets stays as it is.
	literal bool
}

// environment returns the program's environment as a list, and by name. base
// comes first and is replaced by the container's variables; PORT wins over
// both, for the port is not the program's choice. Port 0 means none.
func (s *spec) environment(base []string, port int) ([]string, map[string]string) {
	vars := make(map[string]string)
	var order []string
	set := func(name, value string) {
		if _, ok := vars[name]; !ok {
			order = append(order, name)
		}
		vars[name] = value
	}
	for _, kv := range base {
		if name, value, ok := strings.Cut(kv, "="); ok {
			set(name, value)
		}
	}
	if port != 0 {
		set("PORT", strconv.Itoa(port))
	}
	for _, v := range s.env {
		if v.name == "PORT" && port != 0 {
			continue
		}
		value := v.value
		if v.literal {
			value = fill(expand(value, vars), port)
		}
		set(v.name, value)
	}
	env := make([]string, 0, len(order))
	for _, name := range order {
		env = append(env, name+"="+vars[name])
	}
	return env, vars
}

// expand replaces $(NAME) by the variable's value as Kubernetes does: an
// unknown name stays as it is written, and $$ stands for one $.
func expand(s string, vars map[string]string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i == len(s)-1 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		rest := s[i+1:]
		end := strings.IndexByte(rest, ')')
		switch {
		case rest[0] == '$':
			b.WriteByte('$')
			s = rest[1:]
		case rest[0] == '(' && end > 0:
			name := rest[1:end]
			if v, ok := vars[name]; ok {
				b.WriteString(v)
			} else {
				b.WriteString("$(" + name + ")")
			}
			s = rest[end+1:]
		default:
			b.WriteByte('$')
			s = rest
		}
	}
}

const portPlaceholder = "{{port}}"

func fill(s string, port int) string {
	if port == 0 {
		return s
	}
	return strings.ReplaceAll(s, portPlaceholder, strconv.Itoa(port))
}

// The variables by which a process is known as ours.
const (
	identityVar = "FAIRWAY_PLATFORM" // of the data directory
	instanceVar = "FAIRWAY_INSTANCE"
	nonceVar    = "FAIRWAY_NONCE" // of this start
)

// withIdentity returns env with the identity, whatever the program's own
// environment says under these names.
func withIdentity(env []string, identity, instance, nonce string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return name == identityVar || name == instanceVar || name == nonceVar
	})
	return append(env, identityVar+"="+identity, instanceVar+"="+instance, nonceVar+"="+nonce)
}
