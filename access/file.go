package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/durable"
)

// tokenPrefix lets people and secret scanners recognise a token.
const tokenPrefix = "fwy_"

func tokenFile(dir string) string { return filepath.Join(dir, "token") }

func (g *Guard) sessionFile() string { return filepath.Join(g.dir, "sessions.json") }

// ReadToken returns the token of the Fairway whose access directory is dir.
// Without one the error is of [fairway.KindUnauthorized].
func ReadToken(dir string) (string, error) {
	name := tokenFile(dir)
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fairway.Errorf(fairway.KindUnauthorized, "there is no API token in %s; name the data directory of the Fairway that you mean, or give its token", name)
	}
	if err != nil {
		return "", fmt.Errorf("read the API token: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fairway.Errorf(fairway.KindRefused, "others can read the API token in %s; make it yours alone (chmod 600 %s), or remove the file and restart Fairway for a new one", name, name)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("read the API token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if len(token) < len(tokenPrefix)+32 || !strings.HasPrefix(token, tokenPrefix) || strings.ContainsAny(token, " \t\r\n") {
		return "", fairway.Errorf(fairway.KindRefused, "%s holds no API token; remove the file and restart Fairway for a new one", name)
	}
	return token, nil
}

// ensureToken reads the token, or makes it.
func ensureToken(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the directory of the API token: %w", err)
	}
	if _, err := os.Lstat(tokenFile(dir)); errors.Is(err, fs.ErrNotExist) {
		if err := durable.WriteFile(tokenFile(dir), []byte(tokenPrefix+random()+"\n")); err != nil {
			return "", fmt.Errorf("write the API token: %w", err)
		}
	}
	return ReadToken(dir)
}

func readSessions(name string) (map[string]time.Time, error) {
	sessions := map[string]time.Time{}
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return sessions, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the console's sessions: %w", err)
	}
	if err := json.Unmarshal(b, &sessions); err != nil {
		return nil, fmt.Errorf("read the console's sessions (remove %s, and people log in again): %w", name, err)
	}
	if sessions == nil { // the file said null
		sessions = map[string]time.Time{}
	}
	return sessions, nil
}

func writeSessions(name string, sessions map[string]time.Time) error {
	b, err := json.Marshal(sessions)
	if err == nil {
		err = durable.WriteFile(name, b)
	}
	if err != nil {
		return fmt.Errorf("store the console's session: %w", err)
	}
	return nil
}
