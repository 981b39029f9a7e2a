/** The plot begins so far from the left and ends so far from the right, so that what is drawn below a chart stands under it. */
export const insetLeft = 62
export const insetRight = 22
