package amqp1

import (
	"github.com/gatehouse/gatehouse"
)

// putClaim takes a token (OASIS AMQP claims-based security, as Azure has it):
// the body is the token, the name its audience. When it expires, it itself
// says; what the request says of that is not looked at.
func (l *requestLink) putClaim(r *request) response {
	if r.operation != "put-token" {
		return response{status: 400, text: "the only operation here is put-token", condition: conditionArgument}
	}
	audience, _ := r.properties.Get("name").Str()
	token, ok := r.body.Str()
	if !ok {
		b, _ := r.body.Bytes()
		token = string(b)
	}
	if err := l.putToken(audience, token); err != nil {
		l.hasFailed(err)
		return l.refusal(err)
	}
	return response{status: 200, text: "OK"}
}

// refusal is the response that tells of err.
func (l *requestLink) refusal(err error) response {
	a := answers[gatehouse.KindOf(err)]
	return response{status: a.status, text: l.describe(err), condition: a.reply}
}
