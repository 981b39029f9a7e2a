import type { ReactNode } from 'react'
import type { JobHealth } from 'tidemark/client'
import { formatMs } from '../../format/index.ts'
import { Badge, Code, Time } from '../../ui/index.ts'
import { Advice, Facts, pageFor, Said } from '../operate/index.ts'
import { stateOf } from './job-state.ts'
import styles from './jobs.module.css'

/** What a job does, what it said last, and what to do when it fails. */
export function JobDetail({ job }: { readonly job: JobHealth }): ReactNode {
  const { kind, label } = stateOf(job)
  return (
    <>
      {job.failuresInARow > 0 && job.lastError !== null && (
        <div className={styles['problem']}>
          <strong>
            {job.failuresInARow === 1 ? 'The last run failed' : `The last ${job.failuresInARow} runs failed`}
          </strong>
          <p className={styles['words']}>
            <Said text={job.lastError} />
          </p>
        </div>
      )}
      {job.waitsFor !== null && (
        <p>
          It waits: <Said text={job.waitsFor} />
        </p>
      )}
      {job.advice !== null && (
        <div>
          <h3 className={styles['heading']}>What to do</h3>
          <Advice text={job.advice} page={job.dataset === null ? null : pageOfJob(job)} />
        </div>
      )}
      <Facts
        of={[
          [
            'State',
            <Badge key="state" kind={kind}>
              {label}
            </Badge>,
          ],
          ['Dataset', job.dataset],
          ['Every', job.everyMs === null ? null : formatMs(job.everyMs)],
          ['Begun', job.lastStartedAt && <Time key="begun" value={job.lastStartedAt} precision="second" />],
          ['Ended', job.lastFinishedAt && <Time key="ended" value={job.lastFinishedAt} precision="second" />],
          ['Took', job.lastMs === null ? null : formatMs(job.lastMs)],
          [
            'Next',
            job.isRunning ? 'now' : job.nextAt && <Time key="next" value={job.nextAt} precision="second" />,
          ],
          ['Runs', `${job.runs}, of which ${job.failures} failed`],
        ]}
      />
      {job.lastResult !== null && (
        <div>
          <h3 className={styles['heading']}>What the last run did</h3>
          <Code label="Result" copy text={JSON.stringify(job.lastResult, null, 2)} />
        </div>
      )}
    </>
  )
}

function pageOfJob({ job, dataset }: JobHealth): { readonly to: string; readonly label: string } | null {
  const page = job === 'refresh' ? { to: '/aggregates', label: 'Open aggregates' } : pageFor(job)
  if (page === null || page.to === '/jobs') return null
  return { ...page, to: `${page.to}?dataset=${encodeURIComponent(dataset ?? '')}` }
}
