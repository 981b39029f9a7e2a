const key = /tm_([0-9A-Za-z]{12})_[0-9A-Za-z]{43}/g
/** Header and payload of a token begin with `{"`, which is `eyJ`. */
const token = /eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g
/** Links to boards. */
const link = /(\/shared\/)[0-9A-Za-z]{43}/g
/** Of queries: tickets, and what clients of InfluxDB 1 put there; keys may be encoded. */
const parameter = /([?&](?:ticket|key|p|access_token|password)=)[^&#\s"']*/gi

/**
 * A text that may be logged or told: keys keep their id, so that it can be seen which one it was.
 *
 * @example
 * withoutSecrets('/write?db=a&p=tm_4fJ…_9xK…') // '/write?db=a&p=[secret]'
 */
export function withoutSecrets(text: string): string {
  return text
    .replace(parameter, '$1[secret]')
    .replace(link, '$1[secret]')
    .replace(key, 'tm_$1_[secret]')
    .replace(token, '[token]')
}
