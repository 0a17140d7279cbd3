package app

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/directory/vault"
)

// Files of the data folder.
const (
	keyFile   = "encryption.key"
	tokenFile = "admin-token"
)

// openVault finds the key that endpoint keys are encrypted with, or makes one.
func (a *App) openVault() (*vault.Vault, error) {
	c := &a.Config.Encryption
	switch {
	case c.KeyFile != "":
		v, err := vault.Load(c.KeyFile)
		if err != nil {
			return nil, a.Config.Faultf("encryption.keyFile", "%v", err)
		}
		return v, nil
	case c.KeyEnv != "":
		text, ok := os.LookupEnv(c.KeyEnv)
		if !ok {
			return nil, a.Config.Faultf("encryption.keyEnv", "environment variable %s is not set", c.KeyEnv)
		}
		v, err := vault.Parse(text, "environment variable "+c.KeyEnv)
		if err != nil {
			return nil, a.Config.Faultf("encryption.keyEnv", "%v", err)
		}
		return v, nil
	}
	v, made, err := vault.LoadOrCreate(a.path(keyFile))
	if made {
		a.logger.Info("an encryption key for endpoint keys was made; keep a copy apart from the data", "file", a.path(keyFile))
	}
	return v, err
}

// openToken reads the token that administrators show, or makes one.
func (a *App) openToken() (string, error) {
	name := a.path(tokenFile)
	text, err := os.ReadFile(name)
	if err == nil {
		if token := strings.TrimSpace(string(text)); len(token) >= 16 {
			return token, nil
		}
		return "", gatehouse.Errorf(gatehouse.Invalid, "%s has no token of at least 16 characters; remove it to have one made", name)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", gatehouse.Errorf(gatehouse.Unavailable, "the admin token cannot be read: %w", err)
	}
	token := rand.Text()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = f.WriteString(token + "\n")
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		return "", gatehouse.Errorf(gatehouse.Unavailable, "the admin token cannot be written: %w", err)
	}
	return token, nil
}

// TokenFile returns the file with the token that administrators show.
func (a *App) TokenFile() string { return a.path(tokenFile) }
