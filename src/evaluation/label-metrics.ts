/** Metrics of predicted labels and scores, one row each, as GLUE uses them. All in 0..1, Matthews and correlations in -1..1. */

/** Both go by index: what was predicted, and what is right. */
type LabelScore = (predictions: ArrayLike<number>, labels: ArrayLike<number>) => number

export interface LabelMetric {
  readonly higherIsBetter: boolean
  /** NaN where the metric is not defined: a correlation with what does not vary. */
  readonly score: LabelScore
}

export const labelMetrics = {
  /** The share of equal labels. */
  accuracy: { higherIsBetter: true, score: accuracy },
  /** Harmonic mean of precision and recall of class 1; 0 where nothing positive was found. */
  f1: { higherIsBetter: true, score: f1 },
  /** The correlation of two binary labels (Matthews, 1975); 0 where one of them does not vary. */
  matthews: { higherIsBetter: true, score: matthews },
  pearson: { higherIsBetter: true, score: pearson },
  /** Pearson's correlation of the ranks; equal values share the mean of their ranks. */
  spearman: { higherIsBetter: true, score: (a, b) => pearson(averageRanks(a), averageRanks(b)) },
} as const satisfies Record<string, LabelMetric>

export type LabelMetricName = keyof typeof labelMetrics

function accuracy(predictions: ArrayLike<number>, labels: ArrayLike<number>): number {
  const size = sizeOf(predictions, labels)
  let right = 0
  for (let i = 0; i < size; i++) right += predictions[i] === labels[i] ? 1 : 0
  return right / size
}

function f1(predictions: ArrayLike<number>, labels: ArrayLike<number>): number {
  const { truePositives, falsePositives, falseNegatives } = confusion(predictions, labels)
  return truePositives === 0 ? 0 : (2 * truePositives) / (2 * truePositives + falsePositives + falseNegatives)
}

function matthews(predictions: ArrayLike<number>, labels: ArrayLike<number>): number {
  const {
    truePositives: tp,
    trueNegatives: tn,
    falsePositives: fp,
    falseNegatives: fn,
  } = confusion(predictions, labels)
  const spread = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
  return spread === 0 ? 0 : (tp * tn - fp * fn) / Math.sqrt(spread)
}

/** How often which label met which prediction, class 1 being the positive one. */
function confusion(predictions: ArrayLike<number>, labels: ArrayLike<number>) {
  const size = sizeOf(predictions, labels)
  const counts = { truePositives: 0, trueNegatives: 0, falsePositives: 0, falseNegatives: 0 }
  for (let i = 0; i < size; i++) {
    const positive = predictions[i] === 1
    if ((labels[i] === 1) === positive) counts[positive ? 'truePositives' : 'trueNegatives'] += 1
    else counts[positive ? 'falsePositives' : 'falseNegatives'] += 1
  }
  return counts
}

function pearson(predictions: ArrayLike<number>, labels: ArrayLike<number>): number {
  const size = sizeOf(predictions, labels)
  if (!varies(predictions) || !varies(labels)) return Number.NaN
  const meanX = mean(predictions)
  const meanY = mean(labels)
  let xy = 0
  let xx = 0
  let yy = 0
  for (let i = 0; i < size; i++) {
    const x = predictions[i]! - meanX
    const y = labels[i]! - meanY
    xy += x * y
    xx += x * x
    yy += y * y
  }
  // Rounding may bring a perfect correlation a hair above one.
  return Math.max(-1, Math.min(1, xy / Math.sqrt(xx * yy)))
}

const varies = (values: ArrayLike<number>) => Array.from(values).some((value) => value !== values[0])

function mean(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  return sum / values.length
}

/** Ranks from 1; equal values all get the mean of the ranks that they take up. */
function averageRanks(values: ArrayLike<number>): Float64Array {
  const order = Uint32Array.from({ length: values.length }, (_, i) => i).sort((a, b) => values[a]! - values[b]!)
  const ranks = new Float64Array(values.length)
  for (let start = 0; start < order.length; ) {
    let end = start + 1
    while (end < order.length && values[order[end]!] === values[order[start]!]) end += 1
    for (let i = start; i < end; i++) ranks[order[i]!] = (start + 1 + end) / 2
    start = end
  }
  return ranks
}

function sizeOf(predictions: ArrayLike<number>, labels: ArrayLike<number>): number {
  if (predictions.length !== labels.length || labels.length === 0) {
    throw new RangeError(`Expected as many predictions as labels, got ${predictions.length} and ${labels.length}`)
  }
  return labels.length
}
