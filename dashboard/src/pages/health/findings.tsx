import type { ReactNode } from 'react'
import type { Overview } from 'tidemark/client'
import { Badge, Icon, Time } from '../../ui/index.ts'
import { Advice, Said } from '../operate/index.ts'
import styles from './health.module.css'
import { concernsOf } from './judge.ts'

/** What is wrong, each with what to do; or that nothing is. */
export function Findings({ overview }: { readonly overview: Overview }): ReactNode {
  const concerns = concernsOf(overview)
  const others = overview.findings.filter(({ level }) => level === 'note' || level === 'ok')
  return (
    <section aria-labelledby="health-findings" className={styles['findings']}>
      <h2 id="health-findings" className={styles['title']}>
        {concerns.length === 0 ? 'All is well' : 'What needs you'}
      </h2>
      {concerns.length === 0 ? (
        <p className={styles['fine']}>
          <Icon name="check" /> {others.length} things were looked at, and each is as it should be.
        </p>
      ) : (
        <ul className={styles['concerns']}>
          {concerns.map(({ level, subject, message, doNext, page }) => (
            <li key={`${subject} ${message}`} data-level={level}>
              <div className={styles['concernHead']}>
                <Badge kind={level}>{level === 'error' ? 'wrong' : 'look'}</Badge>
                <h3>{subject}</h3>
              </div>
              <p className={styles['message']}>
                <Said text={message} />
              </p>
              <Advice text={doNext} page={page} />
            </li>
          ))}
        </ul>
      )}
      {others.length > 0 && (
        <details className={styles['others']}>
          <summary>
            {others.length} {others.length === 1 ? 'check is' : 'checks are'} fine or worth knowing, looked at{' '}
            <Time value={overview.findingsAt} ago />
          </summary>
          <ul>
            {others.map(({ level, subject, message, doNext }) => (
              <li key={`${subject} ${message}`}>
                <Badge kind={level === 'ok' ? 'ok' : 'info'}>{level === 'ok' ? 'fine' : 'note'}</Badge>
                <span>
                  <strong>{subject}</strong>: <Said text={message} />
                  {level === 'note' && doNext !== null && <Advice text={doNext} />}
                </span>
              </li>
            ))}
          </ul>
        </details>
      )}
    </section>
  )
}
