/** 2000-01-01, from which PostgreSQL's binary times count: microseconds and days since 1970. */
export const postgresEpochMicros = 946_684_800_000_000n
export const postgresEpochDays = 10_957
/** The microseconds in words, for code that makes no bigint of a value. */
export const postgresEpochHigh = 220_417
export const postgresEpochLow = 993_517_568
