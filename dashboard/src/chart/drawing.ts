/** What draws: a part of its own, which comes while the first question is answered. */
export { HeatMap } from './heat-map.tsx'
export { TimeChart } from './time-chart.tsx'
