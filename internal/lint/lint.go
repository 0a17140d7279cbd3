// Package lint holds, as tests, what the code promises about its own form: that
// imports only point down, that every package says what it is, and that nothing
// happens on import. It has no code of its own to call.
package lint
