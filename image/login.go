package image

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/durable"
)

// WriteLogin puts a user's credentials for a registry host into a file in the
// form of Docker's config.json, which all image clients read. Everything else
// in the file stays; the file is replaced at once and readable by its owner
// alone. Where a credentials store is configured, the host is exempted from
// it, since the store would hide what is written here.
func WriteLogin(dockerConfigPath, host, user, token string) error {
	return changeLogins(dockerConfigPath, host, func(config map[string]json.RawMessage) (bool, error) {
		return true, setLogin(config, host, user, token)
	})
}

// RemoveLogin takes a registry host's credentials out of the file again, with
// the exemption that [WriteLogin] made. What is not there is no error.
func RemoveLogin(dockerConfigPath, host string) error {
	return changeLogins(dockerConfigPath, host, func(config map[string]json.RawMessage) (bool, error) {
		changed := false
		for _, section := range []string{"auths", "credHelpers"} {
			entries := map[string]json.RawMessage{}
			if raw, ok := config[section]; ok {
				if err := json.Unmarshal(raw, &entries); err != nil {
					return false, err
				}
			}
			if _, ok := entries[host]; !ok || section == "credHelpers" && string(entries[host]) != `""` {
				continue
			}
			changed = true
			delete(entries, host)
			var err error
			if config[section], err = json.Marshal(entries); err != nil {
				return false, err
			}
		}
		return changed, nil
	})
}

// changeLogins replaces the file by what change makes of it, if it makes
// anything of it.
func changeLogins(dockerConfigPath, host string, change func(map[string]json.RawMessage) (bool, error)) error {
	path, err := filepath.EvalSymlinks(dockerConfigPath)
	if errors.Is(err, fs.ErrNotExist) {
		path = dockerConfigPath
	} else if err != nil {
		return fmt.Errorf("write the login for %s: %w", host, err)
	}
	config := map[string]json.RawMessage{}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("write the login for %s: %w", host, err)
	case len(bytes.TrimSpace(b)) > 0:
		if err := json.Unmarshal(b, &config); err != nil {
			return spoilt(path, b, err)
		}
	}
	if config == nil { // the file said null
		config = map[string]json.RawMessage{}
	}
	if changed, err := change(config); err != nil {
		return spoilt(path, b, err)
	} else if !changed {
		return nil
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "\t")
	if err := enc.Encode(config); err != nil {
		return fmt.Errorf("write the login for %s: %w", host, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write the login for %s: %w", host, err)
	}
	if err := durable.WriteFile(path, out.Bytes()); err != nil {
		return fmt.Errorf("write the login for %s: %w", host, err)
	}
	return nil
}

func setLogin(config map[string]json.RawMessage, host, user, token string) error {
	auth := map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + token))}
	if err := set(config, "auths", host, auth); err != nil {
		return err
	}
	helpers := map[string]string{}
	if raw, ok := config["credHelpers"]; ok {
		if err := json.Unmarshal(raw, &helpers); err != nil {
			return err
		}
	}
	var store string
	if raw, ok := config["credsStore"]; ok {
		if err := json.Unmarshal(raw, &store); err != nil {
			return err
		}
	}
	if store == "" && helpers[host] == "" {
		return nil
	}
	return set(config, "credHelpers", host, "") // none for this host
}

// set sets config[section][key] to value.
func set(config map[string]json.RawMessage, section, key string, value any) error {
	entries := map[string]json.RawMessage{}
	if raw, ok := config[section]; ok {
		if err := json.Unmarshal(raw, &entries); err != nil {
			return err
		}
	}
	if entries == nil { // the file said null
		entries = map[string]json.RawMessage{}
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	entries[key] = raw
	config[section], err = json.Marshal(entries)
	return err
}

// spoilt says where a configuration file is not what it should be.
func spoilt(path string, content []byte, err error) error {
	p := fairway.Problem{File: path, Message: "is not Docker's configuration: " + err.Error(), Remedy: "repair the file or move it away; nothing was changed"}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		before := content[:min(int(syntax.Offset), len(content))]
		p.Line = 1 + bytes.Count(before, []byte("\n"))
		p.Column = len(before) - bytes.LastIndexByte(before, '\n') - 1
	}
	return fairway.InvalidAll([]fairway.Problem{p})
}
